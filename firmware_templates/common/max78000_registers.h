/* Registers of the MAX78000 that the stand-alone build uses.
 *
 * Addresses and bit positions: public MAX78000 SDK,
 * Libraries/CMSIS/Device/Maxim/MAX78000/Include (max78000.h, max78000.svd and the *_regs.h files).
 * Only what this firmware needs is here; SPDX-License-Identifier: MIT
 */
#ifndef MAX78000_REGISTERS_H
#define MAX78000_REGISTERS_H

#include <stdint.h>

#define REGISTER(address) (*(volatile uint32_t *)(uintptr_t)(address))

/* Global control: clocks, resets, peripheral clock gates. */
#define GCR_RST0 REGISTER(0x40000004u)
#define GCR_CLKCTRL REGISTER(0x40000008u)
#define GCR_PCLKDIV REGISTER(0x40000018u)
#define GCR_PCLKDIS0 REGISTER(0x40000024u)
#define CLKCTRL_SYSCLK_DIV_MASK (7u << 6)
#define CLKCTRL_SYSCLK_SEL_MASK (7u << 9)
#define CLKCTRL_SYSCLK_SEL_IPO (4u << 9) /* 100 MHz */
#define CLKCTRL_SYSCLK_RDY (1u << 13)
#define CLKCTRL_IPO_EN (1u << 19)
#define CLKCTRL_IBRO_EN (1u << 20)
#define CLKCTRL_IPO_RDY (1u << 27)
#define CLKCTRL_IBRO_RDY (1u << 28)
#define PCLKDIV_CNNCLKDIV_MASK (7u << 14)
#define PCLKDIV_CNNCLKSEL_MASK (3u << 17)
#define PCLKDIS0_GPIO0 (1u << 0)
#define PCLKDIS0_GPIO1 (1u << 1)
#define LPGCR_PCLKDIS REGISTER(0x4008000Cu)
#define LPGCR_PCLKDIS_GPIO2 (1u << 0)
#define PCLKDIS0_UART0 (1u << 9)
#define PCLKDIS0_TMR0 (1u << 15)
#define PCLKDIS0_CNN (1u << 25)
#define RST0_UART0 (1u << 11)

/* Power domains of the CNN accelerator, one bit per quadrant. */
#define GCFR_REG0 REGISTER(0x40005800u) /* power switches */
#define GCFR_REG1 REGISTER(0x40005804u) /* memory enable */
#define GCFR_REG2 REGISTER(0x40005808u) /* isolation */
#define GCFR_REG3 REGISTER(0x4000580Cu) /* reset */
#define GCFR_ALL_QUADRANTS 0xFu

/* Regulator output C supplies the accelerator. */
#define SIMO_VREGO_C REGISTER(0x4000440Cu)
#define SIMO_VREGO_C_CNN 0x43u

/* Pins; port is the address of a port's registers. */
#define GPIO0 0x40008000u
#define GPIO1 0x40009000u
#define GPIO2 0x40080400u
#define GPIO_EN0_SET(port) REGISTER((port) + 0x04u)
#define GPIO_EN0_CLR(port) REGISTER((port) + 0x08u)
#define GPIO_OUTEN_SET(port) REGISTER((port) + 0x10u)
#define GPIO_OUTEN_CLR(port) REGISTER((port) + 0x14u)
#define GPIO_OUT_SET(port) REGISTER((port) + 0x1Cu)
#define GPIO_OUT_CLR(port) REGISTER((port) + 0x20u)
#define GPIO_IN(port) REGISTER((port) + 0x24u)
#define GPIO_PADCTRL0(port) REGISTER((port) + 0x60u)
#define GPIO_PADCTRL1(port) REGISTER((port) + 0x64u)
#define GPIO_EN1_SET(port) REGISTER((port) + 0x6Cu)
#define GPIO_EN1_CLR(port) REGISTER((port) + 0x70u)
#define GPIO_EN2_CLR(port) REGISTER((port) + 0x7Cu)
#define GPIO_PS(port) REGISTER((port) + 0xB8u)
#define GPIO_VSSEL(port) REGISTER((port) + 0xC0u) /* 1: the pin's level is that of VDDIOH */

typedef enum { GPIO_INPUT, GPIO_OUTPUT, GPIO_ALTERNATE_1, GPIO_ALTERNATE_2 } gpio_function_t;

static inline void gpio_function(uint32_t port, uint32_t mask, gpio_function_t function)
{
    if (function == GPIO_INPUT) GPIO_OUTEN_CLR(port) = mask;
    if (function == GPIO_OUTPUT) GPIO_OUTEN_SET(port) = mask;
    if (function == GPIO_INPUT || function == GPIO_OUTPUT) {
        GPIO_EN0_SET(port) = mask;
    } else {
        GPIO_EN0_CLR(port) = mask;
    }
    if (function == GPIO_ALTERNATE_2) {
        GPIO_EN1_SET(port) = mask;
    } else {
        GPIO_EN1_CLR(port) = mask;
    }
    GPIO_EN2_CLR(port) = mask;
}

/* Instruction cache. */
#define ICC0_CTRL REGISTER(0x4002A100u)
#define ICC0_INVALIDATE REGISTER(0x4002A700u)
#define ICC_CTRL_EN (1u << 0)
#define ICC_CTRL_RDY (1u << 16)

/* Console. */
#define UART0_CTRL REGISTER(0x40042000u)
#define UART0_STATUS REGISTER(0x40042004u)
#define UART0_INT_EN REGISTER(0x40042008u)
#define UART0_INT_FL REGISTER(0x4004200Cu)
#define UART0_CLKDIV REGISTER(0x40042010u)
#define UART0_OSR REGISTER(0x40042014u)
#define UART0_FIFO REGISTER(0x40042020u)
#define UART0_DMA REGISTER(0x40042030u)
#define UART_DMA_TX_EN ((2u << 0) | (1u << 4)) /* request at two characters or fewer */
#define UART_DMA_RX_EN ((1u << 5) | (1u << 9)) /* request at one character */
#define UART_CTRL_RX_THRESHOLD(n) ((uint32_t)(n) << 0)
#define UART_CTRL_TX_FLUSH (1u << 8)
#define UART_CTRL_RX_FLUSH (1u << 9)
#define UART_CTRL_8_BITS (3u << 10)
#define UART_CTRL_BCLKEN (1u << 15)
#define UART_CTRL_BCLKSRC_IBRO (2u << 16)
#define UART_CTRL_BCLKRDY (1u << 19)
#define UART_STATUS_TX_BUSY (1u << 0)
#define UART_STATUS_RX_LEVEL(status) ((status) >> 8 & 15u) /* characters in the FIFO */
#define UART_STATUS_TX_FULL (1u << 7)
#define UART_INT_RX_THRESHOLD (1u << 4)
#define UART_INT_RX_OVERRUN (1u << 3)

/* DMA: one channel each way between the console and memory. */
#define DMA_INTEN REGISTER(0x40028000u)
#define DMA_CTRL(n) REGISTER(0x40028100u + 0x20u * (n))
#define DMA_STATUS(n) REGISTER(0x40028104u + 0x20u * (n))
#define DMA_SRC(n) REGISTER(0x40028108u + 0x20u * (n))
#define DMA_DST(n) REGISTER(0x4002810Cu + 0x20u * (n))
#define DMA_CNT(n) REGISTER(0x40028110u + 0x20u * (n))
#define DMA_DSTRLD(n) REGISTER(0x40028118u + 0x20u * (n))
#define DMA_CNTRLD(n) REGISTER(0x4002811Cu + 0x20u * (n))
#define DMA_CNTRLD_EN (1u << 31) /* go on with these once the count is 0; goes back to 0 then */
#define DMA_CTRL_EN (1u << 0)
#define DMA_CTRL_REQUEST_PCIF (0x0Du << 4)
#define DMA_CTRL_SRC_WORDS (2u << 16) /* 32 bits at a time */
#define DMA_CTRL_DST_WORDS (2u << 20)
#define DMA_CTRL_BURST(bytes) ((uint32_t)((bytes) - 1) << 24)
#define DMA_CTRL_REQUEST_UART0_RX (0x04u << 4)
#define DMA_CTRL_REQUEST_UART0_TX (0x24u << 4)
#define DMA_CTRL_SRCINC (1u << 18)
#define DMA_CTRL_DSTINC (1u << 22)
#define DMA_CTRL_CTZ_IE (1u << 31)
#define DMA_STATUS_CTZ (1u << 2)
#define DMA_STATUS_FLAGS 0x5Cu
#define PCLKDIS0_DMA (1u << 5)

/* Timer 0, both halves joined to 32 bits. */
#define TMR0_CNT REGISTER(0x40010000u)
#define TMR0_CMP REGISTER(0x40010004u)
#define TMR0_INTFL REGISTER(0x4001000Cu)
#define TMR0_CTRL0 REGISTER(0x40010010u)
#define TMR0_CTRL1 REGISTER(0x40010018u)
#define TMR_CTRL0_MODE_CONTINUOUS (1u << 0)
#define TMR_CTRL0_CLKEN (1u << 14)
#define TMR_CTRL0_EN (1u << 15)
#define TMR_CTRL1_CLKEN (1u << 2)
#define TMR_CTRL1_CLKRDY (1u << 3)
#define TMR_CTRL1_CASCADE (1u << 31)
#define TMR_INTFL_WRDONE (1u << 8)

/* Pulse train 0. */
#define PTG_ENABLE REGISTER(0x4003C000u)
#define PT0_RATE_LENGTH REGISTER(0x4003C020u)
#define PT0_LOOP REGISTER(0x4003C028u)
#define PT_MODE_SQUARE_WAVE (1u << 27)
#define PCLKDIS0_PT (1u << 29)

/* Parallel camera interface. */
#define GCR_PCLKDIS1 REGISTER(0x40000048u)
#define PCLKDIS1_PCIF (1u << 18)
#define PCIF_CTRL REGISTER(0x4000E008u)
#define PCIF_INT_EN REGISTER(0x4000E00Cu)
#define PCIF_INT_FL REGISTER(0x4000E010u)
#define PCIF_CTRL_READ_ONE (1u << 0) /* the next whole picture */
#define PCIF_CTRL_READ_MODE (3u << 0)
#define PCIF_CTRL_FIFO_THRESHOLD(n) ((uint32_t)(n) << 5)
#define PCIF_CTRL_DMA (1u << 16)
#define PCIF_CTRL_DMA_THRESHOLD(n) ((uint32_t)(n) << 17)
#define PCIF_CTRL_ON (1u << 31)
#define PCIF_INT_IMAGE_DONE (1u << 0)

/* I2C bus 1. */
#define PCLKDIS0_I2C1 (1u << 28)
#define I2C1_CTRL REGISTER(0x4001E000u)
#define I2C1_INTFL0 REGISTER(0x4001E008u)
#define I2C1_INTFL1 REGISTER(0x4001E010u)
#define I2C1_RXCTRL0 REGISTER(0x4001E01Cu)
#define I2C1_RXCTRL1 REGISTER(0x4001E020u)
#define I2C1_TXCTRL0 REGISTER(0x4001E024u)
#define I2C1_FIFO REGISTER(0x4001E02Cu)
#define I2C1_MSTCTRL REGISTER(0x4001E030u)
#define I2C1_CLKLO REGISTER(0x4001E034u)
#define I2C1_CLKHI REGISTER(0x4001E038u)
#define I2C_CTRL_EN (1u << 0)
#define I2C_CTRL_MASTER (1u << 1)
#define I2C_FLUSH (1u << 7)       /* RXCTRL0, TXCTRL0 */
#define I2C_THRESHOLD_1 (1u << 8) /* RXCTRL0, TXCTRL0 */
#define I2C_START (1u << 0)       /* MSTCTRL */
#define I2C_RESTART (1u << 1)
#define I2C_STOP (1u << 2)
#define I2C_FLAG_RX (1u << 4) /* INTFL0 */
#define I2C_FLAG_STOP (1u << 6)
#define I2C_FLAG_ERRORS (0x7Fu << 8)

/* Watchdog. */
#define WDT0_CTRL REGISTER(0x40003000u)
#define WDT0_RST REGISTER(0x40003004u)
#define WDT0_CLKSEL REGISTER(0x40003008u)
#define WDT_CTRL_RST_LATE_VAL(n) ((uint32_t)(n) << 4) /* 2^(31 - n) clocks */
#define WDT_CTRL_EN (1u << 8)
#define WDT_CTRL_RST_EN (1u << 11)
#define WDT_CTRL_RST_EARLY (1u << 30)
#define WDT_CTRL_RST_LATE (1u << 31)

/* Cortex-M4 system registers (ARMv7-M Architecture Reference Manual, B3). */
#define SYSTICK_CSR REGISTER(0xE000E010u)
#define SYSTICK_RVR REGISTER(0xE000E014u)
#define SYSTICK_CVR REGISTER(0xE000E018u)
#define SYSTICK_CSR_ENABLE (1u << 0)
#define SYSTICK_CSR_TICKINT (1u << 1)
#define SYSTICK_CSR_CPU_CLOCK (1u << 2)
#define SCB_ICSR REGISTER(0xE000ED04u)
#define ICSR_PENDSVSET (1u << 28)
#define SCB_SHPR3 REGISTER(0xE000ED20u)
#define SHPR3_PENDSV_MASK (0xFFu << 16)
#define SHPR3_PENDSV_LOWEST (0xE0u << 16) /* three bits of priority */
#define NVIC_ISER(n) REGISTER(0xE000E100u + 4u * (n))
#define NVIC_ICPR(n) REGISTER(0xE000E280u + 4u * (n))
#define SCB_VTOR REGISTER(0xE000ED08u)
#define SCB_CPACR REGISTER(0xE000ED88u)

/* External interrupt numbers. */
#define IRQ_UART0 14u
#define IRQ_DMA0 28u
#define IRQ_DMA1 29u
#define IRQ_DMA2 30u
#define IRQ_PCIF 91u
#define IRQ_CNN 101u
#define IRQ_COUNT 104u

#endif
