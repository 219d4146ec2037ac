"""One layer of the accelerator, pixel by pixel in plain Python.

Written from the public register documentation (MAX78000 User Guide as quoted in
ekut-es/netdeployonnx, ai8x-synthesis) as a second opinion on the vectorised model of the kit; it
shares with it only the table of registers. Slow and simple on purpose.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from synthesize.chip import registers as r

Memory = Callable[[int, int], int]
"""(place, byte) -> stored byte 0..255."""


def signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >= 1 << (bits - 1) else value


class NaiveLayer:
    """Reads register words; ``run`` returns {(instance, word, byte): value 0..255}.

    data(instance, byte), weights(processor, byte) and bias(quadrant, index) give stored bytes.
    """

    def __init__(
        self,
        words: Mapping[int, int],
        layer: int,
        quadrants: tuple[int, ...],
        memories: tuple[Memory, Memory, Memory],
        round_average: bool,
    ) -> None:
        self.words = words
        self.layer = layer
        self.quadrants = quadrants
        self.data, self.weights, self.bias = memories
        self.round_average = round_average
        self.seen: dict[tuple[str, str, int], int] = {}

    def f(self, register: r.Register, name: str, quadrant: int = 0) -> int:
        key = (register.name, name, quadrant)
        if key not in self.seen:
            address = r.layer_address(quadrant, self.layer, register)
            self.seen[key] = register.get(self.words.get(address, register.reset), name)
        return self.seen[key]

    # ---- geometry ----

    def size(self) -> tuple[int, int]:
        rows = self.f(r.RCNT, "rcnt_max") + 1 - 2 * self.f(r.RCNT, "rcnt_pad")
        columns = self.f(r.CCNT, "ccnt_max") + 1 - 2 * self.f(r.CCNT, "ccnt_pad")
        if self.f(r.POST, "deconv_en"):
            return rows // 2, columns // 2
        return rows, columns

    def window(self) -> tuple[int, int]:
        if not self.f(r.LCTRL0, "pool_en"):
            return 1, 1
        return self.f(r.PRCNT, "prcnt_max") + 1, self.f(r.PCCNT, "pccnt_max") + 1

    def pooled_size(self) -> tuple[int, int]:
        step = self.f(r.STRIDE, "stride") + 1
        (rows, columns), (high, wide) = self.size(), self.window()
        return (rows - high) // step + 1, (columns - wide) // step + 1

    def kernel(self) -> tuple[int, int]:
        width = self.f(r.ONED, "oned_width")
        if self.f(r.ONED, "oned_en"):
            return width, 1
        return (1, 1) if width == 1 else (3, 3)

    def passes(self) -> int:
        count = self.f(r.LCTRL1, "inpchexp")
        if self.f(r.POST, "flatten_en"):
            count += self.f(r.POST, "xpmp_cnt") << 4
        return count + 1

    def operands(self) -> int:
        return self.f(r.ONED, "ewise_cnt") + 1 if self.f(r.ONED, "ewise_en") else 1

    def readers(self) -> list[int]:
        return [
            16 * q + p
            for q in sorted(self.quadrants)
            for p in range(16)
            if self.f(r.EN, "pro_en", q) >> p & 1
        ]

    # ---- input ----

    def pixel(self, processor: int, step: int, operand: int, row: int, column: int) -> int:
        base = self.f(r.RPTR_BASE, "rptr_base", processor // 16)
        number = row * self.size()[1] + column
        if self.f(r.LCTRL0, "parallel"):
            return signed(self.data(processor // 4, 4 * base + number), 8)
        word = base + (number * self.passes() + step) * self.operands() + operand
        return signed(self.data(processor // 4, 4 * word + processor % 4), 8)

    def pool(self, values: list[int]) -> int:
        if len(values) == 1 or self.f(r.LCTRL0, "maxpl_en"):
            return max(values)
        total = sum(values)
        whole, rest = divmod(abs(total), len(values))
        if self.round_average and 2 * rest >= len(values):
            whole += 1
        return whole if total >= 0 else -whole

    def combine(self, values: list[int]) -> int:
        function = self.f(r.ONED, "ewise_func")
        result = values[0]
        for value in values[1:]:
            if function == 0:
                result -= value
            elif function == 1:
                result += value
            elif function == 2:
                result |= value
            else:
                result ^= value
        return max(-128, min(127, result))

    def field(self, processor: int, step: int, row: int, column: int) -> int:
        """Value at a place of the (pooled, combined) input that the kernel sees."""
        stride = self.f(r.STRIDE, "stride") + 1
        high, wide = self.window()
        places = [(row * stride + y, column * stride + x) for y in range(high) for x in range(wide)]
        if self.operands() == 1:
            return self.pool([self.pixel(processor, step, 0, y, x) for y, x in places])
        if self.f(r.ONED, "prepool"):
            pooled = [
                self.pool([self.pixel(processor, step, k, y, x) for y, x in places])
                for k in range(self.operands())
            ]
            return self.combine(pooled)
        combined = [
            self.combine([self.pixel(processor, step, k, y, x) for k in range(self.operands())])
            for y, x in places
        ]
        return self.pool(combined)

    def padded(self, processor: int, step: int, row: int, column: int) -> int:
        rows, columns = self.pooled_size()
        row -= self.f(r.RCNT, "rcnt_pad")
        column -= self.f(r.CCNT, "ccnt_pad")
        if self.f(r.POST, "deconv_en"):
            if row % 2 or column % 2:
                return 0
            row, column = row // 2, column // 2
        if not (0 <= row < rows and 0 <= column < columns):
            return 0
        return self.field(processor, step, row, column)

    # ---- sums ----

    def weight(self, processor: int, mask: int, tap: int) -> int:
        bits = {0: 8, 1: 1, 2: 2, 3: 4}[self.f(r.POST, "mask_size")]
        counter = self.f(r.MCNT, "mcnt_sad") + mask * bits
        kernel = self.kernel()
        taps = kernel[0] * kernel[1]
        # Kernels run backwards: last tap first, and the last byte of each nine-byte word first.
        position = counter // 8 * taps + self.f(r.ONED, "oned_sad") + taps - 1 - tap
        word, place = divmod(position, 9)
        stored = self.weights(processor, 9 * word + 8 - place)
        return signed(stored >> (counter % 8) & ((1 << bits) - 1), bits)

    def total(self, output: int, row: int, column: int) -> int:
        kernel = self.kernel()
        value = 0
        for quadrant in self.quadrants:
            if self.f(r.POST, "bptr_en", quadrant):
                index = self.f(r.POST, "bptr_sad", quadrant) + output
                value += 128 * signed(self.bias(quadrant, index), 8)
        for processor in self.readers():
            for step in range(self.passes()):
                mask = output * self.passes() + step
                for tap in range(kernel[0] * kernel[1]):
                    y, x = divmod(tap, kernel[1])
                    value += self.weight(processor, mask, tap) * self.padded(
                        processor, step, row + y, column + x
                    )
        return value

    def narrow(self, value: int) -> int:
        amount = self.f(r.POST, "scale_reg")
        shift = (amount if self.f(r.POST, "scale_shft") else -amount) + 7
        if shift > 0:
            value = (value + (1 << (shift - 1))) >> shift
        else:
            value <<= -shift
        value = max(-128, min(127, value))
        if self.f(r.POST, "out_abs"):
            return min(abs(value), 127)
        return max(value, 0) if self.f(r.LCTRL0, "act_en") else value

    # ---- output ----

    def run(self) -> dict[tuple[int, int, int], int]:
        if not any(self.f(r.EN, "mask_en", q) for q in self.quadrants):
            return self.run_pass()
        bits = {0: 8, 1: 1, 2: 2, 3: 4}[self.f(r.POST, "mask_size")]
        masks = (self.f(r.MCNT, "mcnt_max") - self.f(r.MCNT, "mcnt_sad")) // bits + 1
        kernel = self.kernel()
        factor = 2 if self.f(r.POST, "deconv_en") else 1
        rows, columns = (n * factor for n in self.pooled_size())
        rows += 2 * self.f(r.RCNT, "rcnt_pad") - kernel[0] + 1
        columns += 2 * self.f(r.CCNT, "ccnt_pad") - kernel[1] + 1
        stored = {}
        for output in range(masks // self.passes()):
            for row in range(rows):
                for column in range(columns):
                    value = self.total(output, row, column)
                    self.store(stored, output, row * columns + column, value, bits)
        return stored

    def store(
        self,
        stored: dict[tuple[int, int, int], int],
        output: int,
        pixel: int,
        value: int,
        bits: int,
    ) -> None:
        expansion, channel = divmod(output, self.f(r.LCTRL1, "xpch_max") // bits + 1)
        wide = self.f(r.LCTRL0, "bigdwrt")
        pointer = self.f(r.WPTR_BASE, "word") + (self.f(r.WPTR_BASE, "instance") << 13)
        pointer += channel // 4 * self.f(r.WPTR_MOFF, "wptr_moff")
        pointer += expansion * self.f(r.WPTR_CHOFF, "wptr_choff")
        pointer += pixel * (self.f(r.LCTRL1, "wptr_inc") + 1) * (4 if wide else 1)
        if wide:
            pointer += channel % 4
            for byte in range(4):
                stored[pointer >> 13, pointer & 8191, byte] = value >> (8 * byte) & 255
        else:
            stored[pointer >> 13, pointer & 8191, channel % 4] = self.narrow(value) & 255

    def run_pass(self) -> dict[tuple[int, int, int], int]:
        rows, columns = self.pooled_size()
        stored = {}
        for quadrant in self.quadrants:
            local = [p for p in self.readers() if p // 16 == quadrant]
            for place, processor in enumerate(local):
                for step in range(self.passes()):
                    for pixel in range(rows * columns):
                        value = self.field(processor, step, *divmod(pixel, columns))
                        pointer = self.f(r.WPTR_BASE, "word", quadrant)
                        pointer += self.f(r.WPTR_BASE, "instance", quadrant) << 13
                        pointer += place // 4 * self.f(r.WPTR_TOFF, "wptr_toff")
                        count = pixel * self.passes() + step
                        pointer += count * (self.f(r.LCTRL1, "wptr_inc") + 1)
                        stored[pointer >> 13, pointer & 8191, place % 4] = value & 255
        return stored
