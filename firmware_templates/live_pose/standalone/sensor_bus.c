/* OmniVision's two-wire bus, pin by pin, as the public MAX78000 SDK does it (Boards, sccb.c): nine
 * bits to a byte, both lines driven, the data line let go for the other side's bits.
 * SPDX-License-Identifier: MIT
 */
#include "max78000_registers.h"
#include "platform.h"
#include "wires.h"

#define CLOCK (1u << 30) /* of port 0 */
#define DATA (1u << 31)
#define ADDRESS 0x78u /* for writing; plus one for reading */

void wait_us(uint32_t us)
{
    const uint32_t start = platform_ticks();
    while (platform_ticks() - start < us * PLATFORM_TICKS_PER_US) {}
    platform_alive();
}

static void set(uint32_t line, bool high)
{
    if (high) {
        GPIO_OUT_SET(GPIO0) = line;
    } else {
        GPIO_OUT_CLR(GPIO0) = line;
    }
    wait_us(1);
}

static void start(void)
{
    set(DATA, true);
    set(CLOCK, true);
    set(DATA, false);
    set(CLOCK, false);
}

static void stop(void)
{
    set(DATA, false);
    set(CLOCK, true);
    set(DATA, true);
}

static bool get_bit(void)
{
    set(CLOCK, true);
    const bool bit = (GPIO_IN(GPIO0) & DATA) != 0;
    set(CLOCK, false);
    return bit;
}

static void put_bit(bool bit)
{
    set(DATA, bit);
    set(CLOCK, true);
    set(CLOCK, false);
}

static bool put_byte(uint8_t byte)
{
    for (uint32_t i = 0; i < 8; ++i) put_bit((byte << i & 0x80) != 0);
    GPIO_OUTEN_CLR(GPIO0) = DATA;
    wait_us(1);
    const bool acknowledged = !get_bit();
    GPIO_OUTEN_SET(GPIO0) = DATA;
    return acknowledged;
}

static uint8_t get_byte(void)
{
    uint8_t byte = 0;
    GPIO_OUTEN_CLR(GPIO0) = DATA;
    wait_us(1);
    for (uint32_t i = 0; i < 8; ++i) byte = (uint8_t)(byte << 1 | get_bit());
    GPIO_OUTEN_SET(GPIO0) = DATA;
    put_bit(true); /* no acknowledge: no further byte */
    return byte;
}

void sensor_bus_init(void)
{
    GCR_PCLKDIS0 &= ~PCLKDIS0_GPIO0;
    GPIO_OUT_SET(GPIO0) = CLOCK | DATA;
    gpio_function(GPIO0, CLOCK | DATA, GPIO_OUTPUT);
}

bool sensor_write(uint8_t number, uint8_t value)
{
    start();
    const bool good = put_byte(ADDRESS) && put_byte(number) && put_byte(value);
    stop();
    return good;
}

bool sensor_read(uint8_t number, uint8_t *value)
{
    start();
    bool good = put_byte(ADDRESS) && put_byte(number);
    stop();
    if (!good) return false;
    start();
    good = put_byte(ADDRESS + 1u);
    if (good) *value = get_byte();
    stop();
    return good;
}
