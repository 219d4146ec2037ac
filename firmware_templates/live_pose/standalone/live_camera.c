/* OV7692, parallel camera interface and DMA by registers alone. Register numbers and what they mean:
 * public MAX78000 SDK (Boards, ov7692.c and camera.c; PeriphDrivers, cameraif_reva.c).
 * SPDX-License-Identifier: MIT
 */
#include "live_camera.h"

#include "camera_clock.h"
#if FOLLOW
#include "crop.h"
#endif
#include "max78000_registers.h"
#include "platform.h"
#include "wires.h"

#define CHANNEL 2u
#define START_US 300000u /* from the first clock to the first access */
#define RESET_US 10000u
#define RESET_TRIES 50u

#define SENSOR_FORMAT 0x12u
#define SENSOR_RESET 0x80u
#define SENSOR_ID 0x7692u

typedef struct {
    uint8_t number, value;
} setting_t;

/* Half a picture's height and width are cut off left and right: the middle 480 x 480 of the array.
 * The sensor sends a row less than it is told to. */
static const setting_t settings[] = {
    {0xFF, 1}, {0xB5, 0x30}, {0xFF, 0}, /* no MIPI output (second bank) */
    {0x0C, 0xD6},                       /* the module is mounted upside down: turn by 180 degrees */
    {SENSOR_FORMAT, 0x06},              /* RGB565 */
    {0x82, 0x03}, {0x81, 0x3F},         /* colour path; scaler on */
    {0x16, 0x07},                       /* slower pixel clock for small pictures */
    {0x31, 0x82}, {0x37, 0x00}, {0x5E, 0x10}, {0x3E, 0x20}, /* clock dividers */
    {0xC8, 480 >> 8}, {0xC9, 480 & 0xFF}, {0xCA, 480 >> 8}, {0xCB, 480 & 0xFF},
    {0xCC, CAMERA_SIDE >> 8}, {0xCD, CAMERA_SIDE & 0xFF},
    {0xCE, (CAMERA_SIDE + 1) >> 8}, {0xCF, (CAMERA_SIDE + 1) & 0xFF},
    {0x0E, 0x00},                       /* awake */
};

static uint8_t picture[CAMERA_BYTES] __attribute__((aligned(4)));
static volatile bool over;

void PCIF_IRQHandler(void);

void PCIF_IRQHandler(void)
{
    PCIF_INT_FL = PCIF_INT_FL;
    over = true;
}

static const char *set_sensor_up(void)
{
    uint8_t high = 0, low = 0, value = SENSOR_RESET;
    if (!sensor_read(0x0A, &high) || !sensor_read(0x0B, &low)) {
        return "no camera answers; is it connected?";
    }
    if ((high << 8 | low) != SENSOR_ID) return "the camera is not an OV7692";
    bool good = sensor_write(SENSOR_FORMAT, SENSOR_RESET);
    for (uint32_t i = 0; i < RESET_TRIES && good && value != 0; ++i) {
        wait_us(RESET_US);
        good = sensor_read(SENSOR_FORMAT, &value);
    }
    for (uint32_t i = 0; i < sizeof settings / sizeof settings[0] && good; ++i) {
        good = sensor_write(settings[i].number, settings[i].value);
    }
    return good && value == 0 ? 0 : "the camera stopped answering while it was set up";
}

static void set_interface_up(void)
{
    GCR_PCLKDIS1 &= ~PCLKDIS1_PCIF;
    GCR_PCLKDIS0 &= ~(PCLKDIS0_GPIO0 | PCLKDIS0_GPIO1 | PCLKDIS0_DMA);
    gpio_function(GPIO0, 0xFFu << 20 | 1u << 15, GPIO_ALTERNATE_2); /* data; VSYNC */
    gpio_function(GPIO1, 3u << 8, GPIO_ALTERNATE_1);                /* HSYNC, pixel clock */
    GPIO_VSSEL(GPIO0) |= 0xFFu << 20 | 1u << 15;
    GPIO_VSSEL(GPIO1) |= 3u << 8;
    PCIF_CTRL = PCIF_CTRL_FIFO_THRESHOLD(4) | PCIF_CTRL_ON;
    PCIF_CTRL |= PCIF_CTRL_DMA_THRESHOLD(1) | PCIF_CTRL_DMA;
    PCIF_INT_EN = PCIF_INT_IMAGE_DONE;
    NVIC_ISER(IRQ_PCIF / 32) = 1u << (IRQ_PCIF % 32);
}

const char *live_camera_open(void)
{
    static bool clocked;
    if (!power_camera()) return "the power chip of the camera does not answer";
    camera_clock_start();
    sensor_bus_init();
    wait_us(clocked ? RESET_US : START_US);
    clocked = true;
    const char *trouble = set_sensor_up();
    if (trouble) return trouble;
    set_interface_up();
    return 0;
}

#define TRANSFER                                                                                  \
    (DMA_CTRL_REQUEST_PCIF | DMA_CTRL_BURST(4) | DMA_CTRL_SRC_WORDS | DMA_CTRL_DST_WORDS |        \
     DMA_CTRL_DSTINC | DMA_CTRL_EN)

/* The next picture goes to memory, the first bytes of it there. */
static void start_transfer(uint8_t *to, uint32_t bytes, uint32_t control)
{
    over = false;
    PCIF_CTRL &= ~PCIF_CTRL_READ_MODE;
    DMA_CTRL(CHANNEL) = 0;
    DMA_STATUS(CHANNEL) = DMA_STATUS_FLAGS;
    DMA_SRC(CHANNEL) = 0;
    DMA_DST(CHANNEL) = (uint32_t)(uintptr_t)to;
    DMA_CNT(CHANNEL) = bytes;
    DMA_CTRL(CHANNEL) = control;
    PCIF_INT_FL = PCIF_INT_FL;
    PCIF_CTRL |= PCIF_CTRL_READ_ONE;
}

#if FOLLOW
#define RING 4u /* lines */
#define LINE_BYTES (2u * CAMERA_SIDE)

/* While one line comes, those before it are added to the picture, by an interrupt that is less urgent
 * than the one that tells the DMA where the next goes. */
static uint8_t lines[RING][LINE_BYTES] __attribute__((aligned(4)));
static volatile uint32_t lines_come, lines_done, cropping;
static volatile bool too_late;
static crop_t crop;

void DMA2_IRQHandler(void);
void PendSV_Handler(void);

/* Where a line goes when the one before it is complete. */
static void arm(uint32_t line)
{
    if (line >= CAMERA_SIDE) return;
    DMA_DSTRLD(CHANNEL) = (uint32_t)(uintptr_t)lines[line % RING];
    DMA_CNTRLD(CHANNEL) = LINE_BYTES | DMA_CNTRLD_EN;
}

void DMA2_IRQHandler(void)
{
    DMA_STATUS(CHANNEL) = DMA_STATUS_FLAGS;
    const uint32_t come = lines_come + 1u;
    lines_come = come;
    arm(come + 1u);
    /* The next line goes where the oldest still is. */
    if (come - lines_done >= RING) too_late = true;
    SCB_ICSR = ICSR_PENDSVSET;
}

void PendSV_Handler(void)
{
    const uint32_t start = platform_ticks();
    while (lines_done != lines_come) {
        const uint32_t line = lines_done;
        if (!too_late) crop_line(&crop, line, lines[line % RING], picture);
        lines_done = line + 1u;
    }
    cropping = cropping + (platform_ticks() - start);
}

void live_camera_start(const region_t *region)
{
    DMA_CTRL(CHANNEL) = 0; /* what is left of the last picture */
    DMA_CNTRLD(CHANNEL) = 0;
    lines_come = 0;
    lines_done = 0;
    cropping = 0;
    too_late = false;
    crop_begin(&crop, region, INPUT_ROWS);
    SCB_SHPR3 = (SCB_SHPR3 & ~SHPR3_PENDSV_MASK) | SHPR3_PENDSV_LOWEST;
    DMA_INTEN |= 1u << CHANNEL;
    NVIC_ISER(IRQ_DMA2 / 32) = 1u << (IRQ_DMA2 % 32);
    start_transfer(lines[0], LINE_BYTES, TRANSFER | DMA_CTRL_CTZ_IE);
    arm(1);
}

uint32_t live_camera_rows(void)
{
    return *(volatile uint32_t *)&crop.rows;
}

uint32_t live_camera_cropping(void)
{
    return cropping;
}
#else
void live_camera_start(void)
{
    start_transfer(picture, sizeof picture, TRANSFER);
}

uint32_t live_camera_rows(void)
{
    return (sizeof picture - DMA_CNT(CHANNEL)) / CAMERA_ROW_BYTES;
}
#endif

bool live_camera_over(void)
{
    return over;
}

const uint8_t *live_camera_picture(void)
{
    return picture;
}
