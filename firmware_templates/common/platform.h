/* What the applications need from the chip, whichever way they are built: stand-alone, or with the
 * start-up and board support of the vendor SDK. Nothing here allocates memory.
 * SPDX-License-Identifier: MIT
 */
#ifndef PLATFORM_H
#define PLATFORM_H

#include <stdbool.h>
#include <stdint.h>

/* The stopwatch runs at the peripheral clock, which is also the clock of the CNN accelerator. */
#define PLATFORM_TICKS_PER_US 50u

/* Start the clocks (CPU 100 MHz), the stopwatch, a 100 Hz tick and the console (115200 8N1). */
void platform_init(void);

/* Power and clock the accelerator, reset it, and let its interrupt call CNN_ISR().
 * clock_source and clock_divider: CNN_CLOCK_* of cnn.h. */
void platform_cnn_on(uint32_t clock_source, uint32_t clock_divider);
void platform_cnn_off(void);

/* Stopwatch in PLATFORM_TICKS_PER_US; wraps every 85 s, so subtract as uint32_t. */
uint32_t platform_ticks(void);

/* Let the tick come so often (100 Hz at first); it ends sleep. */
void platform_tick(uint32_t hz);

/* Send bytes over the console. They are copied and sent in the background; the function waits
 * only while the copy does not fit. Not for interrupt handlers. */
void platform_write(const uint8_t *bytes, uint32_t count);

/* Bytes that platform_write() takes without waiting. */
uint32_t platform_write_room(void);

/* Wait until everything has been handed to the transmitter. */
void platform_flush(void);

/* Next byte received over the console, or -1. */
int platform_read(void);

/* Rate of the console. */
uint32_t platform_baud(void);

/* Bytes lost because nobody called platform_read() in time. */
uint32_t platform_read_overruns(void);

/* Let the next count bytes from the console go straight to memory, without an interrupt for each;
 * platform_read() returns -1 meanwhile. platform_receive_left(): bytes that have not come yet.
 * platform_receive_stop(): give up; returns the same. */
void platform_receive(uint8_t *to, uint32_t count);
uint32_t platform_receive_left(void);
uint32_t platform_receive_stop(void);

/* Start the watchdog: whoever does not call platform_alive() for PLATFORM_PATIENCE_US is restarted.
 * True when that is why the board has started. Sending and receiving count as being alive. */
#define PLATFORM_PATIENCE_US 2684354u
bool platform_watchdog_start(void);
void platform_alive(void);

/* Sleep until an interrupt is pending, then let it run. Call with interrupts masked
 * (platform_mask) after checking that there is nothing to do: no wake-up is lost that way. */
void platform_mask(void);
void platform_unmask(void);
void platform_sleep(void);

/* Wait for the transmitter, stop the tick and sleep for good. */
void platform_halt(void) __attribute__((noreturn));

#endif
