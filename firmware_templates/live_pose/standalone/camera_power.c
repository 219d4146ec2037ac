/* The MAX78000FTHR's power chip, a MAX20303 on I2C1: commands and their numbers as in the public
 * MAX78000 SDK (Boards, max20303.c; PeriphDrivers, i2c_reva.c). SPDX-License-Identifier: MIT
 */
#include "max78000_registers.h"
#include "platform.h"
#include "wires.h"

#ifdef BOARD_EVKIT
bool power_camera(void) { return true; /* always on */ }
#else
#define ADDRESS 0x50u /* for writing; plus one for reading */
#define I2C_CLOCKS 249u /* of 20 ns, each level: 100 kHz */
#define PATIENCE_US 5000u

#define COMMAND_ARGUMENTS 0x0Fu /* registers of the chip */
#define COMMAND 0x17u
#define COMMAND_DONE 0x18u
#define SET_REGULATOR_2 0x42u /* the command and its arguments */
#define REGULATOR_ON 0x01u
#define REGULATOR_2V8 0x13u

static void i2c_init(void)
{
    GCR_PCLKDIS0 &= ~PCLKDIS0_I2C1;
    gpio_function(GPIO0, 3u << 16, GPIO_ALTERNATE_1);
    I2C1_CTRL = I2C_CTRL_EN;
    I2C1_CTRL = I2C_CTRL_EN | I2C_CTRL_MASTER;
    I2C1_CLKLO = I2C_CLOCKS;
    I2C1_CLKHI = I2C_CLOCKS;
    I2C1_RXCTRL0 = I2C_THRESHOLD_1;
    I2C1_TXCTRL0 = I2C_THRESHOLD_1;
}

static bool wait_for(uint32_t flag)
{
    const uint32_t start = platform_ticks();
    while (!(I2C1_INTFL0 & flag)) {
        if (platform_ticks() - start > PATIENCE_US * PLATFORM_TICKS_PER_US) return false;
    }
    return true;
}

static void begin(void)
{
    I2C1_INTFL0 = I2C1_INTFL0;
    I2C1_INTFL1 = I2C1_INTFL1;
    I2C1_TXCTRL0 |= I2C_FLUSH;
    while (I2C1_TXCTRL0 & I2C_FLUSH) {}
    I2C1_RXCTRL0 |= I2C_FLUSH;
    while (I2C1_RXCTRL0 & I2C_FLUSH) {}
    I2C1_FIFO = ADDRESS;
    I2C1_MSTCTRL = I2C_START;
}

static bool end(void)
{
    I2C1_MSTCTRL = I2C_STOP;
    const bool stopped = wait_for(I2C_FLAG_STOP);
    return stopped && !(I2C1_INTFL0 & I2C_FLAG_ERRORS);
}

static bool write_bytes(const uint8_t *bytes, uint32_t count)
{
    begin();
    for (uint32_t i = 0; i < count; ++i) I2C1_FIFO = bytes[i]; /* eight at most */
    return end();
}

static bool read_byte(uint8_t number, uint8_t *value)
{
    begin();
    I2C1_FIFO = number;
    I2C1_RXCTRL1 = 1; /* one byte */
    I2C1_MSTCTRL = I2C_RESTART;
    while (I2C1_MSTCTRL & I2C_RESTART) {
        if (I2C1_INTFL0 & I2C_FLAG_ERRORS) return (void)end(), false;
    }
    I2C1_FIFO = ADDRESS + 1u;
    if (!wait_for(I2C_FLAG_RX)) return (void)end(), false;
    *value = (uint8_t)I2C1_FIFO;
    return end();
}

bool power_camera(void)
{
    const uint8_t arguments[] = {COMMAND_ARGUMENTS, REGULATOR_ON, REGULATOR_2V8};
    const uint8_t command[] = {COMMAND, SET_REGULATOR_2};
    uint8_t done = 0;
    i2c_init();
    if (!write_bytes(arguments, sizeof arguments) || !write_bytes(command, sizeof command)) {
        return false;
    }
    wait_us(10000); /* it takes up to 9 ms */
    return read_byte(COMMAND_DONE, &done) && done == SET_REGULATOR_2;
}
#endif
