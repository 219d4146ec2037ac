/* Driver of the CNN accelerator. The function names are those of the vendor's generated code,
 * so that an application written for one runs with the other.
 *
 * Call order: cnn_enable, cnn_init, cnn_load_weights, cnn_load_bias, cnn_configure, then for every
 * inference: store the input, cnn_start, cnn_wait, cnn_unload. All functions that return int
 * return CNN_OK or CNN_FAIL. SPDX-License-Identifier: MIT
 */
#ifndef CNN_H
#define CNN_H

#include <stdint.h>

#include "network.h"

#define CNN_FAIL 0
#define CNN_OK 1

/* Clock choices of cnn_enable (fields of the register GCR_PCLKDIV). */
#define CNN_CLOCK_PERIPHERAL (0u << 17) /* 50 MHz */
#define CNN_CLOCK_ISO (1u << 17)        /* 60 MHz */
#define CNN_CLOCK_DIVIDE_1 (4u << 14)
#define CNN_CLOCK_DIVIDE_2 (0u << 14)
#define CNN_CLOCK_DIVIDE_4 (1u << 14)

/* No network takes longer: 100 million cycles of the accelerator. */
#define CNN_TIMEOUT_US 2000000u

/* Stopwatch ticks (platform.h) from cnn_start to the interrupt; 0 while it is running. */
extern volatile uint32_t cnn_time;

/* One output of the network: where its elements are in data memory.
 * The element of channel c, row y, column x is at
 * channel_address[c] + y * row_stride + x * column_stride,
 * a 32-bit word when wide, else a signed byte. */
typedef struct {
    const char *name;
    uint16_t channels, rows, columns;
    uint16_t wide;
    int16_t unit; /* 1.0 is the integer 2^unit */
    uint32_t row_stride, column_stride;
    const uint32_t *channel_address;
} cnn_output_t;

extern const cnn_output_t cnn_outputs[CNN_OUTPUT_COUNT];

/* Generated tables. */
typedef struct {
    uint32_t address, value;
} register_write_t;

typedef struct {
    uint32_t address, count;
    const uint8_t *bytes;
} bias_block_t;

/* All of these return CNN_OK or CNN_FAIL. In the order of use: */

/* Power and clock the accelerator, enable its interrupt; source and divider as the clock register
 * names them. */
int cnn_enable(uint32_t clock_source, uint32_t clock_divider);
/* Stop the state machines and set every quadrant up for configuration. */
int cnn_init(void);
/* Forget what the network keeps from one inference to the next (its data buffer), if it keeps any;
 * cnn_init does so too. */
int cnn_clear_buffer(void);
/* Unpack the kernels into weight memory (kept while the power stays on). */
int cnn_load_weights(void);
/* Read weight memory back: CNN_OK when its CRC-32 is that of the network's weights. */
int cnn_verify_weights(void);
/* Copy the biases into bias memory. */
int cnn_load_bias(void);
/* Write all layer registers. */
int cnn_configure(void);
/* Run; the interrupt tells the end. */
int cnn_start(void);
/* Halt between layers, and go on from there. */
int cnn_stop(void);
int cnn_continue(void);
/* Cut clock and power; weights are lost. */
int cnn_disable(void);

/* Sleep until the accelerator is done; CNN_FAIL after timeout_us microseconds. */
int cnn_wait(uint32_t timeout_us);

/* Store records (address, n, n words), ended by a zero, e.g. a prepared input. */
int cnn_load_input(const uint32_t *records);

/* Copy all outputs in the order of cnn_outputs, each channel by channel, row by row:
 * words when wide, else bytes, each output padded to whole words.
 * out_buf holds CNN_UNLOAD_WORDS words. */
int cnn_unload(uint32_t *out_buf);

/* Read one row of a channel as 32-bit integers; values holds columns. */
void cnn_read_row(const cnn_output_t *output, uint32_t channel, uint32_t row, int32_t *values);

/* Read one channel as 32-bit integers, row by row; values holds rows * columns. */
void cnn_read_channel(const cnn_output_t *output, uint32_t channel, int32_t *values);

/* Read the words in which a channel lies, row by row; address is that of its first element's word.
 * Of an output that is not wide each holds up to four channels. words holds rows * columns. */
void cnn_read_words(const cnn_output_t *output, uint32_t address, uint32_t *words);

/* What the functions above are made of, for another network's tables (second.c). */
void cnn_write_registers(const register_write_t *writes, uint32_t count);
void cnn_copy_kernels(const uint32_t *records);
void cnn_copy_biases(const bias_block_t *blocks, uint32_t count);
int cnn_start_with(const register_write_t *writes, uint32_t count);

/* Interrupt of the accelerator. */
void CNN_ISR(void);

void memcpy32(uint32_t *dst, const uint32_t *src, int n);

#endif
