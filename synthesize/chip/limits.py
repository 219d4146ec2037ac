"""Sizes and limits of the MAX78000 CNN accelerator.

Sources: ai8x-synthesis ``izer/tornadocnn.py`` (class of the MAX78000), its ``README.md``
("Limitations of MAX78000 networks") and ``docs/AHBAddresses.md``.
"""

QUADRANTS = 4
PROCESSORS_PER_QUADRANT = 16
PROCESSORS = QUADRANTS * PROCESSORS_PER_QUADRANT
PROCESSORS_PER_INSTANCE = 4
"""Neighbouring processors that share one data memory instance (one byte of each word each)."""
DATA_INSTANCES = PROCESSORS // PROCESSORS_PER_INSTANCE

DATA_INSTANCE_WORDS = 8192
DATA_INSTANCE_BYTES = 4 * DATA_INSTANCE_WORDS
DATA_BYTES = DATA_INSTANCES * DATA_INSTANCE_BYTES

WEIGHT_WORDS = 768
"""72-bit kernel words per processor."""
WEIGHT_WORD_BYTES = 9
WEIGHT_BYTES_PER_PROCESSOR = WEIGHT_WORDS * WEIGHT_WORD_BYTES
WEIGHT_BYTES = PROCESSORS * WEIGHT_BYTES_PER_PROCESSOR
WEIGHT_BITS = (1, 2, 4, 8)

BIAS_BYTES_PER_QUADRANT = 512
BIAS_BYTES = QUADRANTS * BIAS_BYTES_PER_QUADRANT
BIAS_SCALE = 128
"""A bias byte enters the accumulator multiplied by this number."""

TRAM_WORDS = 3072

MAX_LAYERS = 32
MAX_STREAM_LAYERS = 8
MAX_CHANNELS = 1024
MAX_ROWS_COLUMNS = 1023
MAX_PASSES = 16
MAX_FLATTEN_PASSES = 256
MAX_OPERANDS = 16
MAX_POOL = 16
MAX_POOL_STRIDE = 16
MAX_POOL_LAST_OPERANDS = 2
"""Operands allowed when the element-wise operation comes before the pooling."""
MAX_CONV1D_LENGTH = 9
DILATED_LENGTHS = (2, 3)
"""Lengths of Conv1d kernels whose taps may be so far apart that they reach over more samples."""
CONV2D_KERNELS = ((1, 1), (3, 3))
MAX_PADDING = 2
MAX_SHIFT = 15
ACCUMULATOR_BITS = 26
ACTIVATION_BITS = 8
FIFO_CHANNELS_CHW = 4
FIFO_CHANNELS_HWC = 16

CNN_CLOCK_HZ = 50_000_000
