/* The two buses that lead to the camera and to what powers it. All functions return true when every
 * byte was acknowledged. SPDX-License-Identifier: MIT
 */
#ifndef WIRES_H
#define WIRES_H

#include <stdbool.h>
#include <stdint.h>

void wait_us(uint32_t us);

/* The camera's bus, made of the pins P0.30 (clock) and P0.31 (data). */
void sensor_bus_init(void);
bool sensor_write(uint8_t number, uint8_t value);
bool sensor_read(uint8_t number, uint8_t *value);

/* Let the MAX78000FTHR's power chip (MAX20303 on I2C1) supply 2.8 V to the camera. */
bool power_camera(void);

#endif
