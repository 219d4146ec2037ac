/* SPDX-License-Identifier: MIT */
#include "second.h"

#include "second_registers.h"
#include "second_weights.h"

#define COUNT_OF(table) (sizeof(table) / sizeof(table)[0])

int second_load(void)
{
    cnn_copy_kernels(weights);
    cnn_copy_biases(bias_blocks, BIAS_BLOCK_COUNT);
    return CNN_OK;
}

int second_configure(void)
{
    cnn_write_registers(init_writes, COUNT_OF(init_writes));
    cnn_write_registers(configure_writes, COUNT_OF(configure_writes));
    return CNN_OK;
}

int second_start(void)
{
    return cnn_start_with(start_writes, COUNT_OF(start_writes));
}
