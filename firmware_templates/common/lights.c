/* Pins: public MAX78000 SDK, Boards/MAX78000/FTHR_RevA and EvKit_V1, board.c. LEDs light up and
 * buttons are pressed when the pin is low. SPDX-License-Identifier: MIT
 */
#include "lights.h"

#include "max78000_registers.h"
#include "platform.h"

typedef struct {
    uint32_t port, mask; /* address of the port's registers */
} pin_t;

#ifdef BOARD_EVKIT
static const pin_t light_pins[] = {{GPIO0, 1u << 2}, {GPIO0, 1u << 3}};
static const pin_t button_pins[BUTTONS] = {{GPIO2, 1u << 6}, {GPIO2, 1u << 7}};
#else
static const pin_t light_pins[] = {{GPIO2, 1u << 0}, {GPIO2, 1u << 1}, {GPIO2, 1u << 2}};
static const pin_t button_pins[BUTTONS] = {{GPIO0, 1u << 2}, {GPIO1, 1u << 7}};
#endif
#define LIGHTS (sizeof light_pins / sizeof light_pins[0])
#define BOUNCE_TICKS (20000u * PLATFORM_TICKS_PER_US)

static bool down[BUTTONS];
static uint32_t changed[BUTTONS]; /* when */

static void start_ports(void)
{
    GCR_PCLKDIS0 &= ~(PCLKDIS0_GPIO0 | PCLKDIS0_GPIO1);
    LPGCR_PCLKDIS &= ~LPGCR_PCLKDIS_GPIO2;
}

void lights_init(void)
{
    start_ports();
    for (uint32_t i = 0; i < LIGHTS; ++i) {
        const pin_t *pin = &light_pins[i];
        GPIO_OUT_SET(pin->port) = pin->mask;
        GPIO_VSSEL(pin->port) |= pin->mask;
        gpio_function(pin->port, pin->mask, GPIO_OUTPUT);
    }
}

void light(light_t which, bool on)
{
    if (which >= LIGHTS) return;
    const pin_t *pin = &light_pins[which];
    if (on) {
        GPIO_OUT_CLR(pin->port) = pin->mask;
    } else {
        GPIO_OUT_SET(pin->port) = pin->mask;
    }
}

void buttons_init(void)
{
    start_ports();
    for (uint32_t i = 0; i < BUTTONS; ++i) {
        const pin_t *pin = &button_pins[i];
        GPIO_VSSEL(pin->port) |= pin->mask;
        GPIO_PADCTRL0(pin->port) |= pin->mask; /* strong pull-up */
        GPIO_PADCTRL1(pin->port) &= ~pin->mask;
        GPIO_PS(pin->port) |= pin->mask;
        gpio_function(pin->port, pin->mask, GPIO_INPUT);
    }
}

bool button_pressed(uint32_t which)
{
    const pin_t *pin = &button_pins[which];
    const bool now = (GPIO_IN(pin->port) & pin->mask) == 0;
    if (now == down[which] || platform_ticks() - changed[which] < BOUNCE_TICKS) return false;
    down[which] = now;
    changed[which] = platform_ticks();
    return now;
}
