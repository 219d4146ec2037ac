/* Driver of the CNN accelerator; the network itself is data in weights.h and registers.h.
 *
 * Facts about the hardware: public ai8x-synthesis project (docs/AHBAddresses.md and the code
 * generator). SPDX-License-Identifier: MIT
 */
#include "cnn.h"

#include "crc32.h"
#include "platform.h"
#include "registers.h"
#include "weights.h"

#define WORD_AT(address) (*(volatile uint32_t *)(uintptr_t)(address))
#define BYTE_AT(address) (*(volatile uint8_t *)(uintptr_t)(address))

/* Control register of each quadrant. */
static const uint32_t quadrant_control[4] = {0x50100000u, 0x50500000u, 0x50900000u, 0x50D00000u};
#define CONTROL_ENABLE (1u << 0)
#define CONTROL_INTERRUPT (1u << 12)

volatile uint32_t cnn_time;
static uint32_t start_ticks;

void CNN_ISR(void)
{
    for (uint32_t i = 0; i < 4; ++i) {
        WORD_AT(quadrant_control[i]) &= ~(CONTROL_INTERRUPT | CONTROL_ENABLE);
    }
    uint32_t elapsed = platform_ticks() - start_ticks;
    cnn_time = elapsed != 0 ? elapsed : 1;
}

void cnn_write_registers(const register_write_t *writes, uint32_t count)
{
    for (uint32_t i = 0; i < count; ++i) WORD_AT(writes[i].address) = writes[i].value;
}

int cnn_enable(uint32_t clock_source, uint32_t clock_divider)
{
    platform_cnn_on(clock_source, clock_divider);
    return CNN_OK;
}

int cnn_disable(void)
{
    platform_cnn_off();
    return CNN_OK;
}

int cnn_clear_buffer(void)
{
#ifdef CNN_CLEARED
    for (const uint32_t *block = cleared_blocks; block[0] != 0; block += 2) {
        for (uint32_t i = 0; i < block[1]; ++i) WORD_AT(block[0] + 4u * i) = 0;
    }
#endif
    return CNN_OK;
}

int cnn_init(void)
{
    cnn_write_registers(init_writes, sizeof init_writes / sizeof init_writes[0]);
    return cnn_clear_buffer();
}

/* Copy n words; eight at a time, because this is where the loading time goes. */
void memcpy32(uint32_t *dst, const uint32_t *src, int n)
{
    volatile uint32_t *to = dst;
    for (; n >= 8; n -= 8, to += 8, src += 8) {
        to[0] = src[0];
        to[1] = src[1];
        to[2] = src[2];
        to[3] = src[3];
        to[4] = src[4];
        to[5] = src[5];
        to[6] = src[6];
        to[7] = src[7];
    }
    while (n-- > 0) *to++ = *src++;
}

/* A weight block is a stream of 9-byte kernel words without gaps: a byte write to address + 1
 * sets the place in weight memory, then every 32-bit write to the block goes on from there. */
void cnn_copy_kernels(const uint32_t *record)
{
    while (record[0] != 0) {
        const uint32_t address = record[0];
        const uint32_t count = record[1];
        BYTE_AT(address | 1u) = 1;
        memcpy32((uint32_t *)(uintptr_t)address, record + 2, (int)count);
        record += 2 + count;
    }
}

int cnn_load_weights(void)
{
    cnn_copy_kernels(weights);
    return CNN_OK;
}

/* The processor sees a kernel word of nine bytes as three 32-bit words and a fourth without meaning:
 * the first byte alone, then four and four, the first of them in the highest bits. A block's address
 * counts four bytes for each kernel word in front of it. */
#define KERNEL_MEMORY 0x4000u /* of one processor */
#define KERNEL_BYTES 9u

int cnn_verify_weights(void)
{
    uint32_t crc = 0;
    for (const uint32_t *record = weights; record[0] != 0; record += 2 + record[1]) {
        const uint32_t first = record[0] % KERNEL_MEMORY;
        uint32_t address = record[0] - first + 4u * first;
        for (uint32_t left = 4u * record[1] / KERNEL_BYTES; left > 0; --left, address += 16u) {
            const uint32_t middle = __builtin_bswap32(WORD_AT(address + 4u));
            const uint32_t end = __builtin_bswap32(WORD_AT(address + 8u));
            uint8_t kernel[KERNEL_BYTES] = {(uint8_t)WORD_AT(address)};
            __builtin_memcpy(kernel + 1, &middle, sizeof middle);
            __builtin_memcpy(kernel + 5, &end, sizeof end);
            crc = crc32_update(crc, kernel, sizeof kernel);
        }
    }
    return crc == WEIGHTS_CRC ? CNN_OK : CNN_FAIL;
}

/* One bias byte for each 32-bit word of bias memory; in flash they are stored as bytes. */
void cnn_copy_biases(const bias_block_t *blocks, uint32_t count)
{
    for (uint32_t i = 0; i < count; ++i) {
        for (uint32_t j = 0; j < blocks[i].count; ++j) {
            WORD_AT(blocks[i].address + 4u * j) = blocks[i].bytes[j];
        }
    }
}

int cnn_load_bias(void)
{
    cnn_copy_biases(bias_blocks, BIAS_BLOCK_COUNT);
    return CNN_OK;
}

int cnn_configure(void)
{
    cnn_write_registers(configure_writes, sizeof configure_writes / sizeof configure_writes[0]);
    return CNN_OK;
}

int cnn_start_with(const register_write_t *writes, uint32_t count)
{
    cnn_time = 0;
    cnn_write_registers(writes, count - 1);
    start_ticks = platform_ticks();
    cnn_write_registers(writes + count - 1, 1); /* the last write is the one that starts */
    return CNN_OK;
}

int cnn_start(void)
{
    return cnn_start_with(start_writes, sizeof start_writes / sizeof start_writes[0]);
}

int cnn_stop(void)
{
    WORD_AT(quadrant_control[0]) &= ~CONTROL_ENABLE;
    return CNN_OK;
}

int cnn_continue(void)
{
    cnn_time = 0;
    WORD_AT(quadrant_control[0]) |= CONTROL_ENABLE;
    return CNN_OK;
}

int cnn_wait(uint32_t timeout_us)
{
    for (;;) {
        platform_mask();
        if (cnn_time != 0) break;
        if ((platform_ticks() - start_ticks) / PLATFORM_TICKS_PER_US > timeout_us) break;
        platform_sleep();
    }
    platform_unmask();
    return cnn_time != 0 ? CNN_OK : CNN_FAIL;
}

int cnn_load_input(const uint32_t *record)
{
#if CNN_INPUT_FIFO
    /* One record of equal length per FIFO. The accelerator takes a word of each at a time, so they
     * are filled in turns. */
    const uint32_t count = record[0] != 0 ? record[1] : 0;
    for (uint32_t i = 0; i < count; ++i) {
        for (const uint32_t *fifo = record; fifo[0] != 0; fifo += 2 + count) {
            while (WORD_AT(CNN_INPUT_FIFO_STATUS) & CNN_INPUT_FIFO_FULL) {}
            WORD_AT(fifo[0]) = fifo[2 + i];
        }
    }
#else
    while (record[0] != 0) {
        const uint32_t count = record[1];
        memcpy32((uint32_t *)(uintptr_t)record[0], record + 2, (int)count);
        record += 2 + count;
    }
#endif
    return CNN_OK;
}

/* One row of words; four at a time, because maps are what is read most. */
static void read_words(uint32_t address, uint32_t stride, uint32_t count, int32_t *values)
{
    for (; count >= 4; count -= 4, values += 4, address += 4u * stride) {
        values[0] = (int32_t)WORD_AT(address);
        values[1] = (int32_t)WORD_AT(address + stride);
        values[2] = (int32_t)WORD_AT(address + 2u * stride);
        values[3] = (int32_t)WORD_AT(address + 3u * stride);
    }
    for (; count > 0; --count, address += stride) *values++ = (int32_t)WORD_AT(address);
}

static void read_bytes(uint32_t address, uint32_t stride, uint32_t count, int32_t *values)
{
    for (; count > 0; --count, address += stride) *values++ = (int8_t)BYTE_AT(address);
}

void cnn_read_row(const cnn_output_t *output, uint32_t channel, uint32_t row, int32_t *values)
{
    const uint32_t address = output->channel_address[channel] + row * output->row_stride;
    if (output->wide) {
        read_words(address, output->column_stride, output->columns, values);
    } else {
        read_bytes(address, output->column_stride, output->columns, values);
    }
}

void cnn_read_channel(const cnn_output_t *output, uint32_t channel, int32_t *values)
{
    for (uint32_t y = 0; y < output->rows; ++y, values += output->columns) {
        cnn_read_row(output, channel, y, values);
    }
}

void cnn_read_words(const cnn_output_t *output, uint32_t address, uint32_t *words)
{
    for (uint32_t y = 0; y < output->rows; ++y, address += output->row_stride) {
        read_words(address, output->column_stride, output->columns, (int32_t *)words);
        words += output->columns;
    }
}

int cnn_unload(uint32_t *out_buf)
{
    for (uint32_t i = 0; i < CNN_OUTPUT_COUNT; ++i) {
        const cnn_output_t *output = &cnn_outputs[i];
        const uint32_t size = (uint32_t)output->rows * output->columns;
        if (output->wide) {
            for (uint32_t c = 0; c < output->channels; ++c, out_buf += size) {
                cnn_read_channel(output, c, (int32_t *)out_buf);
            }
            continue;
        }
        int8_t *bytes = (int8_t *)out_buf;
        for (uint32_t c = 0; c < output->channels; ++c) {
            uint32_t row = output->channel_address[c];
            for (uint32_t y = 0; y < output->rows; ++y, row += output->row_stride) {
                for (uint32_t x = 0; x < output->columns; ++x) {
                    *bytes++ = (int8_t)BYTE_AT(row + x * output->column_stride);
                }
            }
        }
        out_buf += (output->channels * size + 3u) / 4u;
    }
    return CNN_OK;
}
