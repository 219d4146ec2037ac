/* Board support by registers alone, so that it needs no SDK and gets along with one: the interrupt
 * handlers have the names of the vendor's vector table. Register sequences follow what the public
 * MAX78000 SDK does (PeriphDrivers: sys_ai85.c, uart_revb.c, tmr_revb.c, icc_reva.c; Boards:
 * board.c).
 * SPDX-License-Identifier: MIT
 */
#include "platform.h"

#include "max78000_registers.h"

#define CPU_HZ 100000000u
#define TICK_HZ 100u
#define IBRO_HZ 7372800u
#ifndef CONSOLE_BAUD
#define CONSOLE_BAUD 115200u /* or a divisor of IBRO_HZ: 230400, 460800, 921600 */
#endif
#define RECEIVE_SIZE 512u    /* bytes, a power of two */
#define RECEIVE_THRESHOLD 6u /* of the 8 characters of the FIFO */
#define TRANSMIT_SIZE 4096u  /* bytes, a power of two */
#define WATCHDOG_PERIOD 4u   /* 2^27 clocks of 20 ns: PLATFORM_PATIENCE_US */
#define TRANSMIT_CHANNEL 0u
#define RECEIVE_CHANNEL 1u

void SysTick_Handler(void);
void UART0_IRQHandler(void);
void DMA0_IRQHandler(void);
void DMA1_IRQHandler(void);
void CNN_IRQHandler(void);
void CNN_ISR(void) __attribute__((weak)); /* of the driver, if there is one */

/* Positions count bytes since the start and never wrap in a ring's lifetime of 4 GiB; the place in
 * a ring is the position modulo its size. */
static volatile uint8_t receive_ring[RECEIVE_SIZE];
static volatile uint32_t receive_head, receive_tail, receive_lost, receive_direct;
static uint8_t transmit_ring[TRANSMIT_SIZE];
static volatile uint32_t transmit_head, transmit_tail, transmit_busy;

/* The tick only wakes waits that have a time limit. */
void SysTick_Handler(void) {}

/* Move what the receiver's FIFO holds to the ring. Called with its interrupt masked or from it. */
static void drain_receiver(void)
{
    uint32_t head = receive_head;
    for (uint32_t level; (level = UART_STATUS_RX_LEVEL(UART0_STATUS)) != 0;) {
        for (; level > 0; --level) {
            const uint8_t byte = (uint8_t)UART0_FIFO;
            if (head - receive_tail < RECEIVE_SIZE) {
                receive_ring[head % RECEIVE_SIZE] = byte;
                ++head;
            } else {
                receive_lost = receive_lost + 1;
            }
        }
    }
    receive_head = head;
}

void UART0_IRQHandler(void)
{
    if (receive_direct) return; /* the DMA empties the FIFO now */
    if (UART0_INT_FL & UART_INT_RX_OVERRUN) {
        UART0_INT_FL = UART_INT_RX_OVERRUN;
        receive_lost = receive_lost + 1;
    }
    drain_receiver();
    UART0_INT_FL = UART_INT_RX_THRESHOLD; /* of a full FIFO it would come back, and the interrupt */
}

/* Give the DMA the longest piece of the ring that is not interrupted by the ring's end.
 * Called with the DMA's interrupt masked or from it. */
static void transmit_next(void)
{
    const uint32_t tail = transmit_tail;
    const uint32_t waiting = transmit_head - tail;
    const uint32_t place = tail % TRANSMIT_SIZE;
    const uint32_t straight = TRANSMIT_SIZE - place;
    const uint32_t count = waiting < straight ? waiting : straight;
    transmit_busy = count;
    if (count == 0) return;
    DMA_SRC(TRANSMIT_CHANNEL) = (uint32_t)(uintptr_t)&transmit_ring[place];
    DMA_DST(TRANSMIT_CHANNEL) = (uint32_t)(uintptr_t)&UART0_FIFO;
    DMA_CNT(TRANSMIT_CHANNEL) = count;
    DMA_CTRL(TRANSMIT_CHANNEL) =
        DMA_CTRL_REQUEST_UART0_TX | DMA_CTRL_SRCINC | DMA_CTRL_CTZ_IE | DMA_CTRL_EN;
}

void DMA0_IRQHandler(void)
{
    DMA_STATUS(TRANSMIT_CHANNEL) = DMA_STATUS_FLAGS;
    transmit_tail = transmit_tail + transmit_busy;
    transmit_next();
}

static void receive_by_interrupt(void)
{
    UART0_DMA = UART_DMA_TX_EN;
    receive_direct = 0;
    UART0_INT_EN = UART_INT_RX_OVERRUN | UART_INT_RX_THRESHOLD;
}

/* A block has come completely. */
void DMA1_IRQHandler(void)
{
    DMA_STATUS(RECEIVE_CHANNEL) = DMA_STATUS_FLAGS;
    receive_by_interrupt();
}

void CNN_IRQHandler(void)
{
    if (CNN_ISR) CNN_ISR();
}

static void start_clocks(void)
{
    ICC0_CTRL &= ~ICC_CTRL_EN;
    ICC0_INVALIDATE = 1;
    while (!(ICC0_CTRL & ICC_CTRL_RDY)) {}
    ICC0_CTRL |= ICC_CTRL_EN;
    while (!(ICC0_CTRL & ICC_CTRL_RDY)) {}

    GCR_CLKCTRL |= CLKCTRL_IPO_EN | CLKCTRL_IBRO_EN;
    while (!(GCR_CLKCTRL & CLKCTRL_IPO_RDY)) {}
    while (!(GCR_CLKCTRL & CLKCTRL_IBRO_RDY)) {}
    GCR_CLKCTRL = (GCR_CLKCTRL & ~(CLKCTRL_SYSCLK_SEL_MASK | CLKCTRL_SYSCLK_DIV_MASK)) |
                  CLKCTRL_SYSCLK_SEL_IPO;
    while (!(GCR_CLKCTRL & CLKCTRL_SYSCLK_RDY)) {}
}

static void start_stopwatch(void)
{
    GCR_PCLKDIS0 &= ~PCLKDIS0_TMR0;
    TMR0_CTRL0 = 0;
    TMR0_CTRL1 = TMR_CTRL1_CASCADE; /* clock source 0: peripheral clock, 50 MHz */
    TMR0_CTRL0 = TMR_CTRL0_CLKEN;
    while (!(TMR0_CTRL1 & TMR_CTRL1_CLKRDY)) {}
    TMR0_CTRL0 |= TMR_CTRL0_MODE_CONTINUOUS;
    TMR0_CNT = 1;
    while (!(TMR0_INTFL & TMR_INTFL_WRDONE)) {}
    TMR0_CMP = 0xFFFFFFFFu;
    TMR0_CTRL0 |= TMR_CTRL0_EN;
    while (!(TMR0_CTRL1 & TMR_CTRL1_CLKEN)) {}
}

static void start_console(void)
{
    GCR_PCLKDIS0 &= ~(PCLKDIS0_GPIO0 | PCLKDIS0_UART0 | PCLKDIS0_DMA);
    GCR_RST0 = RST0_UART0;
    while (GCR_RST0 & RST0_UART0) {}
    gpio_function(GPIO0, 3u, GPIO_ALTERNATE_1); /* P0.0 and P0.1 */
    UART0_CTRL = UART_CTRL_RX_THRESHOLD(RECEIVE_THRESHOLD) | UART_CTRL_8_BITS | UART_CTRL_BCLKSRC_IBRO;
    UART0_OSR = 5;
    UART0_CLKDIV = IBRO_HZ / CONSOLE_BAUD;
    UART0_CTRL |= UART_CTRL_BCLKEN;
    while (!(UART0_CTRL & UART_CTRL_BCLKRDY)) {}
    UART0_INT_FL = UART_INT_RX_OVERRUN | UART_INT_RX_THRESHOLD;
    UART0_INT_EN = UART_INT_RX_OVERRUN | UART_INT_RX_THRESHOLD;
    UART0_DMA = UART_DMA_TX_EN;
    DMA_INTEN = (1u << TRANSMIT_CHANNEL) | (1u << RECEIVE_CHANNEL);
    NVIC_ISER(0) = (1u << IRQ_UART0) | (1u << IRQ_DMA0) | (1u << IRQ_DMA1);
}

void platform_init(void)
{
    start_clocks();
    start_stopwatch();
    start_console();
    platform_tick(TICK_HZ);
    SIMO_VREGO_C = SIMO_VREGO_C_CNN;
}

void platform_tick(uint32_t hz)
{
    SYSTICK_RVR = CPU_HZ / hz - 1;
    SYSTICK_CVR = 0;
    SYSTICK_CSR = SYSTICK_CSR_ENABLE | SYSTICK_CSR_TICKINT | SYSTICK_CSR_CPU_CLOCK;
}

/* A write of 0 clears the flags that tell why the watchdog has restarted the chip. */
bool platform_watchdog_start(void)
{
    const bool restarted = (WDT0_CTRL & (WDT_CTRL_RST_LATE | WDT_CTRL_RST_EARLY)) != 0;
    WDT0_CTRL = 0;
    WDT0_CLKSEL = 0; /* peripheral clock */
    WDT0_CTRL = WDT_CTRL_RST_LATE_VAL(WATCHDOG_PERIOD) | WDT_CTRL_RST_EN;
    platform_alive();
    WDT0_CTRL |= WDT_CTRL_EN;
    return restarted;
}

void platform_alive(void)
{
    WDT0_RST = 0xA5;
    WDT0_RST = 0x5A;
}

void platform_cnn_on(uint32_t clock_source, uint32_t clock_divider)
{
    GCFR_REG3 = GCFR_ALL_QUADRANTS; /* hold in reset while the supply comes up */
    GCFR_REG1 = GCFR_ALL_QUADRANTS;
    GCFR_REG0 = GCFR_ALL_QUADRANTS;
    GCFR_REG2 = 0;
    GCFR_REG3 = 0;
    GCR_PCLKDIV = (GCR_PCLKDIV & ~(PCLKDIV_CNNCLKDIV_MASK | PCLKDIV_CNNCLKSEL_MASK)) |
                  clock_source | clock_divider;
    GCR_PCLKDIS0 &= ~PCLKDIS0_CNN;
    NVIC_ICPR(IRQ_CNN / 32) = 1u << (IRQ_CNN % 32);
    NVIC_ISER(IRQ_CNN / 32) = 1u << (IRQ_CNN % 32);
}

void platform_cnn_off(void)
{
    GCR_PCLKDIS0 |= PCLKDIS0_CNN;
    GCFR_REG3 = GCFR_ALL_QUADRANTS;
    GCFR_REG1 = 0;
    GCFR_REG0 = 0;
    GCFR_REG2 = GCFR_ALL_QUADRANTS;
    GCFR_REG3 = 0;
}

uint32_t platform_ticks(void)
{
    (void)TMR0_CNT; /* the first read may be stale; the SDK reads twice as well */
    return TMR0_CNT;
}

void platform_write(const uint8_t *bytes, uint32_t count)
{
    while (count > 0) {
        platform_mask();
        uint32_t head = transmit_head;
        uint32_t room = TRANSMIT_SIZE - (head - transmit_tail);
        if (room == 0) {
            platform_sleep();
            continue;
        }
        platform_unmask();
        if (room > count) room = count;
        platform_alive();
        for (uint32_t i = 0; i < room; ++i) transmit_ring[head++ % TRANSMIT_SIZE] = bytes[i];
        bytes += room;
        count -= room;
        platform_mask();
        transmit_head = head;
        if (transmit_busy == 0) transmit_next();
        platform_unmask();
    }
}

uint32_t platform_write_room(void)
{
    return TRANSMIT_SIZE - (transmit_head - transmit_tail);
}

void platform_flush(void)
{
    for (;;) {
        platform_mask();
        if (transmit_busy == 0) break;
        platform_sleep();
    }
    platform_unmask();
}

void platform_receive(uint8_t *to, uint32_t count)
{
    platform_mask();
    for (int byte; count > 0 && (byte = platform_read()) >= 0; --count) *to++ = (uint8_t)byte;
    UART0_INT_EN = 0;
    receive_direct = 1;
    DMA_CNT(RECEIVE_CHANNEL) = count;
    if (count == 0) {
        receive_by_interrupt();
    } else {
        DMA_SRC(RECEIVE_CHANNEL) = (uint32_t)(uintptr_t)&UART0_FIFO;
        DMA_DST(RECEIVE_CHANNEL) = (uint32_t)(uintptr_t)to;
        DMA_CTRL(RECEIVE_CHANNEL) =
            DMA_CTRL_REQUEST_UART0_RX | DMA_CTRL_DSTINC | DMA_CTRL_CTZ_IE | DMA_CTRL_EN;
        UART0_DMA = UART_DMA_TX_EN | UART_DMA_RX_EN;
    }
    platform_unmask();
}

uint32_t platform_receive_left(void)
{
    return DMA_CNT(RECEIVE_CHANNEL);
}

uint32_t platform_receive_stop(void)
{
    platform_mask();
    DMA_CTRL(RECEIVE_CHANNEL) = 0;
    const uint32_t left = DMA_CNT(RECEIVE_CHANNEL);
    receive_by_interrupt();
    platform_unmask();
    return left;
}

/* The receiver interrupts only when several characters are in its FIFO; a few that no others
 * follow are found here, at the latest after a tick. */
int platform_read(void)
{
    const uint32_t tail = receive_tail;
    if (tail == receive_head && !receive_direct) {
        UART0_INT_EN = 0;
        drain_receiver();
        UART0_INT_EN = UART_INT_RX_OVERRUN | UART_INT_RX_THRESHOLD;
    }
    if (tail == receive_head) return -1;
    const uint8_t byte = receive_ring[tail % RECEIVE_SIZE];
    receive_tail = tail + 1;
    return byte;
}

uint32_t platform_baud(void)
{
    return CONSOLE_BAUD;
}

uint32_t platform_read_overruns(void)
{
    return receive_lost;
}

void platform_mask(void)
{
    __asm volatile("cpsid i" ::: "memory");
}

void platform_unmask(void)
{
    __asm volatile("cpsie i\n\tisb" ::: "memory");
}

void platform_sleep(void)
{
    __asm volatile("dsb\n\twfi" ::: "memory");
    platform_unmask();
}

void platform_halt(void)
{
    platform_flush();
    while (UART0_STATUS & UART_STATUS_TX_BUSY) {}
    SYSTICK_CSR = 0;
    WDT0_CTRL = 0;
    for (;;) __asm volatile("wfi");
}
