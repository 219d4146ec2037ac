/* SPDX-License-Identifier: MIT */
#include "pipeline.h"

#include "cnn.h"
#if FOLLOW
#include "colour.h"
#include "follow.h"
#endif
#include "image_input.h"
#include "live_camera.h"
#include "people.h"
#include "pixels.h"
#include "platform.h"

#define SILENCE_TICKS (1000000u * PLATFORM_TICKS_PER_US)
#define CNN_TIMEOUT_TICKS (CNN_TIMEOUT_US * PLATFORM_TICKS_PER_US)
#define MAPS (POSE_KEYPOINTS + POSE_FIELDS)
#define LATE_TICKS (2000u * PLATFORM_TICKS_PER_US) /* the DMA may bring the last rows after the end */
#define MOST_BROKEN 20u /* pictures one after the other: then the camera is set up again */
#define BLOCKS (POSE_MAP_WORDS / POSE_MAP_CELLS)

/* The picture that is coming. */
static struct {
    bool coming;
    uint16_t number;
    uint32_t stored;  /* bands of it in input memory */
    uint32_t rows;    /* that have come */
    uint32_t began;   /* ticks */
    uint32_t moved;   /* ticks when the last row came */
    uint32_t storing; /* ticks spent storing */
    uint32_t broken;  /* pictures with lines missing, one after the other */
#if FOLLOW
    region_t region;
    uint32_t ms;
#if FOLLOW_COLOUR
    uint32_t cells; /* rows of its thumbnail */
#endif
#endif
} intake;

/* The one the network looks at. */
static struct {
    bool running, started_before;
    uint16_t number;
    uint32_t began;
    pace_t pace;
} network;

/* The one whose maps are in SRAM. */
static struct {
    bool waiting;
    uint16_t number;
    pace_t pace;
} answer;

/* The maps as they lie in the accelerator, word for word: a block is one wide channel, or up to four
 * that share their words. The last channels may be loose: they take bytes of other blocks in which there
 * is nothing else. */
static uint32_t maps[BLOCKS][POSE_MAP_CELLS];
static struct {
    const cnn_output_t *output;
    uint32_t address; /* of the first word */
    uint32_t bytes;   /* bit b: byte b of each word is taken */
} blocks[BLOCKS];
static uint32_t block_count;
static uint32_t map_offsets[MAPS]; /* bytes from the start of maps */

#if FOLLOW && FOLLOW_COLOUR
/* Of the picture that comes or is in the network, and of the one before it: by the last bit of their
 * numbers. */
static thumbnail_t thumbnails[2];
#define THUMBNAILS (INPUT_COLUMNS == THUMBNAIL_SIDE * THUMBNAIL_PIXELS) /* else there are none */

const thumbnail_t *pipeline_thumbnail(void)
{
    return THUMBNAILS == 0 ? 0 : &thumbnails[pipeline_number & 1u];
}

/* One row of cells, if its pixels have come; while the network runs, once the people of the picture before
 * that one are found, since theirs is the same thumbnail. */
static bool store_cells(void)
{
    if (THUMBNAILS == 0 || intake.cells >= intake.rows / THUMBNAIL_PIXELS) return false;
    if (network.running && answer.waiting) return false;
    const uint8_t *pixels = live_camera_picture() + intake.cells * THUMBNAIL_PIXELS * CAMERA_ROW_BYTES;
    thumbnail_row(&thumbnails[intake.number & 1u], intake.cells++, pixels);
    return true;
}
#else
#define store_cells() false
#endif

uint16_t pipeline_number;
pace_t pipeline_pace;

static uint32_t microseconds(uint32_t ticks)
{
    return ticks / PLATFORM_TICKS_PER_US;
}

/* The block that holds these words. The compiler has counted them: there is room for all. */
static uint32_t block_of(const cnn_output_t *output, uint32_t address)
{
    for (uint32_t i = 0; i < block_count; ++i) {
        if (blocks[i].address == address) return i;
    }
    if (block_count == BLOCKS) return 0; /* cannot happen */
    blocks[block_count].output = output;
    blocks[block_count].address = address;
    blocks[block_count].bytes = 0;
    return block_count++;
}

static uint32_t take_byte(uint32_t block, uint32_t byte)
{
    blocks[block].bytes |= 1u << byte;
    return block * (uint32_t)sizeof maps[0] + byte;
}

static void find_blocks(const people_maps_t *wanted, uint32_t count, uint32_t *offsets)
{
    for (uint32_t c = 0; c < count; ++c) {
        const uint32_t address = wanted->output->channel_address[wanted->first + c];
        offsets[c] = take_byte(block_of(wanted->output, address & ~3u), address & 3u);
    }
}

/* The compiler has counted the free bytes as well. */
static void find_free_bytes(uint32_t *offsets, uint32_t count)
{
    for (uint32_t i = 0; i < 4u * BLOCKS && count != 0; ++i) {
        if (blocks[i / 4u].bytes >> i % 4u & 1u) continue;
        *offsets++ = take_byte(i / 4u, i % 4u);
        --count;
    }
}

void pipeline_init(void)
{
    find_blocks(&people_heat, POSE_KEYPOINTS, map_offsets);
    find_blocks(&people_fields, POSE_FIELDS - POSE_MAP_LOOSE, map_offsets + POSE_KEYPOINTS);
    find_free_bytes(map_offsets + MAPS - POSE_MAP_LOOSE, POSE_MAP_LOOSE);
    pipeline_restart();
}

void pipeline_restart(void)
{
    intake.coming = false;
    intake.rows = 0;
    intake.stored = 0;
#if FOLLOW && FOLLOW_COLOUR
    intake.cells = 0;
#endif
}

bool pipeline_resting(void)
{
    return !network.running;
}

void pipeline_refill(void)
{
    intake.stored = 0;
}

void pipeline_sleep(void)
{
    platform_mask();
    if (network.running && cnn_time != 0) {
        platform_unmask();
    } else {
        platform_sleep();
    }
}

/* ---- network -> maps in SRAM --------------------------------------------------------------- */

static void copy_loose(uint32_t channel)
{
    const cnn_output_t *output = people_fields.output;
    uint8_t *to = (uint8_t *)maps + map_offsets[POSE_KEYPOINTS + channel];
    for (uint32_t y = 0; y < output->rows; ++y) {
        int32_t row[CNN_LONGEST_ROW];
        cnn_read_row(output, people_fields.first + channel, y, row);
        for (uint32_t x = 0; x < output->columns; ++x, to += 4) *to = (uint8_t)row[x];
    }
}

static void copy_maps(void)
{
    for (uint32_t i = 0; i < block_count; ++i) {
        cnn_read_words(blocks[i].output, blocks[i].address, maps[i]);
    }
    for (uint32_t i = POSE_MAP_LOOSE; i > 0; --i) copy_loose(POSE_FIELDS - i);
}

static pipeline_event_t finish_network(void)
{
    const uint32_t start = platform_ticks();
    copy_maps();
    network.running = false;
    network.pace.network = microseconds(cnn_time);
    network.pace.copy = microseconds(platform_ticks() - start);
    answer.number = network.number;
    answer.pace = network.pace;
    answer.waiting = true;
    return PIPELINE_BUSY;
}

/* ---- maps in SRAM -> people ---------------------------------------------------------------- */

static pose_map_t copied(const cnn_output_t *output, const uint32_t *offsets)
{
    const pose_map_t map = {
        .base = (uintptr_t)maps,
        .channel_offset = offsets,
        .row_stride = 4u * output->columns,
        .column_stride = 4u,
        .wide = (uint8_t)output->wide,
        .unit = (uint8_t)output->unit,
    };
    return map;
}

static pipeline_event_t find_people(void)
{
    const cnn_output_t *heat = people_heat.output;
    const pose_map_t heat_map = copied(heat, map_offsets);
    const pose_map_t paf_map = copied(people_fields.output, map_offsets + POSE_KEYPOINTS);
    const uint32_t start = platform_ticks();
    (void)pose_decode(&heat_map, &paf_map, heat->rows, heat->columns, &people_settings, &people);
    answer.waiting = false;
    pipeline_number = answer.number;
    pipeline_pace = answer.pace;
    pipeline_pace.decode = microseconds(platform_ticks() - start);
    return PIPELINE_PEOPLE;
}

/* ---- camera -> input memory ---------------------------------------------------------------- */

static void store_band(uint32_t band)
{
    static uint8_t pixels[INPUT_BAND_BYTES] __attribute__((aligned(4)));
    const uint32_t bytes = INPUT_FOLD * CAMERA_ROW_BYTES;
    pixels_expand(pixels, live_camera_picture() + band * bytes, INPUT_FOLD * INPUT_COLUMNS);
    input_store_band(band, pixels);
}

static pipeline_event_t start_network(void)
{
    const uint32_t now = platform_ticks();
    network.pace.period = network.started_before ? microseconds(now - network.began) : 0;
    network.pace.capture = microseconds(intake.moved - intake.began);
    network.pace.store = microseconds(intake.storing);
#if FOLLOW
    network.pace.region = intake.region;
    network.pace.ms = intake.ms;
    network.pace.crop = microseconds(live_camera_cropping());
#endif
    intake.broken = 0;
    network.number = intake.number;
    network.began = now;
    network.running = true;
    network.started_before = true;
    pipeline_number = intake.number++;
    pipeline_restart();
    cnn_start();
    return PIPELINE_STARTED;
}

/* All rows that have come, if the memory is free; then the network. */
static pipeline_event_t take_in(void)
{
    const bool over = live_camera_over();
    const uint32_t rows = live_camera_rows(); /* those that came before it was over are in */
    const uint32_t now = platform_ticks();
    if (rows != intake.rows) {
        intake.rows = rows;
        intake.moved = now;
    } else if (rows < INPUT_ROWS && now - intake.moved > SILENCE_TICKS) {
        return PIPELINE_SILENT;
    }
    if (over && rows < INPUT_ROWS && now - intake.moved > LATE_TICKS) {
        pipeline_restart(); /* lines were lost: another picture, please */
        if (++intake.broken < MOST_BROKEN) return PIPELINE_BUSY;
        intake.broken = 0;
        return PIPELINE_SILENT;
    }
    if (network.running) return store_cells() ? PIPELINE_BUSY : PIPELINE_IDLE;
    const uint32_t before = intake.stored;
    while (intake.stored < rows / INPUT_FOLD) store_band(intake.stored++);
    intake.storing += platform_ticks() - now;
    if (intake.stored == INPUT_BANDS && over) {
        while (store_cells()) {}
        return start_network();
    }
    return intake.stored != before || store_cells() ? PIPELINE_BUSY : PIPELINE_IDLE;
}

static void ask_camera(void)
{
    pipeline_restart();
    intake.coming = true;
    intake.storing = 0;
    intake.began = platform_ticks();
    intake.moved = intake.began;
#if FOLLOW
    intake.ms = follow_ms();
    intake.region = follow_region();
    live_camera_start(&intake.region);
#else
    live_camera_start();
#endif
}

/* Finding people takes a few milliseconds, in which rows of the next picture pile up. So it is done
 * while the network is busy anyway, or the picture is far from complete. */
static bool time_for_people(bool capture)
{
    if (!answer.waiting) return false;
    if (network.running || !capture) return true;
    return intake.coming && intake.rows < INPUT_ROWS / 2;
}

pipeline_event_t pipeline_step(bool capture)
{
    if (network.running && cnn_time != 0) return finish_network();
    if (network.running && platform_ticks() - network.began > CNN_TIMEOUT_TICKS) {
        network.running = false;
        pipeline_number = network.number;
        return PIPELINE_STUCK;
    }
    if (!intake.coming && capture) ask_camera();
    if (intake.coming) {
        const pipeline_event_t event = take_in();
        if (event != PIPELINE_IDLE) return event;
    }
    return time_for_people(capture) ? find_people() : PIPELINE_IDLE;
}
