/* The camera through the vendor SDK's driver (camera.h of its board support; checked with the public
 * MAX78000 SDK of June 2021). SPDX-License-Identifier: MIT
 */
#include "network.h"
#if FOLLOW
#error "following people needs the stand-alone build"
#endif

#include "camera.h"

#include "camera_clock.h"
#include "dma_regs.h"
#include "live_camera.h"
#include "mxc_device.h"
#include "platform.h"

#define CHANNEL 2           /* of the DMA; the console has 0 and 1 */
#define INPUT_CLOCK 8000000 /* Hz, while it is set up */

static uint8_t *picture;

static const char *open_camera(void)
{
    uint32_t length, width, height;
    if (camera_init(INPUT_CLOCK) != STATUS_OK) return "no camera answers; is it connected?";
    platform_alive();
    camera_clock_start();
    if (camera_setup(INPUT_COLUMNS, INPUT_ROWS, PIXFORMAT_RGB565, FIFO_FOUR_BYTE, USE_DMA,
                     CHANNEL) != STATUS_OK) {
        return "the camera's driver does not accept its settings";
    }
    camera_get_image(&picture, &length, &width, &height);
    if (picture == 0 || length != CAMERA_BYTES) return "the camera's driver has no memory";
    return 0;
}

/* The driver's delays want the tick's timer for themselves, and know the clock by a variable. */
const char *live_camera_open(void)
{
    const uint32_t control = SysTick->CTRL, load = SysTick->LOAD;
    SystemCoreClockUpdate();
    platform_alive();
    SysTick->CTRL = 0;
    const char *trouble = open_camera();
    SysTick->LOAD = load;
    SysTick->VAL = 0;
    SysTick->CTRL = control;
    platform_alive();
    return trouble;
}

void live_camera_start(void)
{
    (void)camera_start_capture_image();
}

uint32_t live_camera_rows(void)
{
    return (CAMERA_BYTES - MXC_DMA->ch[CHANNEL].cnt) / CAMERA_ROW_BYTES;
}

bool live_camera_over(void)
{
    return camera_is_image_rcv() != 0;
}

const uint8_t *live_camera_picture(void)
{
    return picture;
}
