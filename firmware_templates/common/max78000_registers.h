/* Registers of the MAX78000 that the stand-alone build uses.
 *
 * Addresses and bit positions: public MAX78000 SDK,
 * Libraries/CMSIS/Device/Maxim/MAX78000/Include (max78000.h, max78000.svd and the *_regs.h files).
 * Only what platform.c needs is here; SPDX-License-Identifier: MIT
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

/* Pins. */
#define GPIO0_EN0_CLR REGISTER(0x40008008u)
#define GPIO0_EN1_CLR REGISTER(0x40008070u)
#define GPIO0_EN2_CLR REGISTER(0x4000807Cu)

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
#define UART_STATUS_RX_EMPTY (1u << 4)
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
#define DMA_CTRL_EN (1u << 0)
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

/* Cortex-M4 system registers (ARMv7-M Architecture Reference Manual, B3). */
#define SYSTICK_CSR REGISTER(0xE000E010u)
#define SYSTICK_RVR REGISTER(0xE000E014u)
#define SYSTICK_CVR REGISTER(0xE000E018u)
#define SYSTICK_CSR_ENABLE (1u << 0)
#define SYSTICK_CSR_TICKINT (1u << 1)
#define SYSTICK_CSR_CPU_CLOCK (1u << 2)
#define NVIC_ISER(n) REGISTER(0xE000E100u + 4u * (n))
#define NVIC_ICPR(n) REGISTER(0xE000E280u + 4u * (n))
#define SCB_VTOR REGISTER(0xE000ED08u)
#define SCB_CPACR REGISTER(0xE000ED88u)

/* External interrupt numbers. */
#define IRQ_UART0 14u
#define IRQ_DMA0 28u
#define IRQ_DMA1 29u
#define IRQ_CNN 101u
#define IRQ_COUNT 104u

#endif
