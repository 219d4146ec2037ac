"""How many clock cycles a piece of Thumb code takes on the Cortex-M4.

An estimate, one number for each instruction, after the public table in the Cortex-M4 Technical
Reference Manual (r0p1, section 3.3 and 7.2): data processing 1; load 2; store 1 (write buffer);
load or store multiple 1 + registers; taken branch 1 + 2 for the pipeline refill; divide 7
(2 to 12, depending on the operands); floating-point divide and square root 14. Instruction
fetches are taken to hit the cache, and accesses to peripherals to need no wait states. A
conditional branch counts as taken.
"""

from __future__ import annotations

BRANCH_REFILL = 2
EXCEPTION_ENTRY = 12
EXCEPTION_RETURN = 10


def block_cycles(code: bytes) -> int:
    """Cycles of a straight piece of Thumb code that ends with a branch or simply ends.

    Args:
        code: whole instructions, little endian.
    """
    cycles = 0
    position = 0
    while position + 2 <= len(code):
        first = code[position] | code[position + 1] << 8
        if first >= 0xE800 and position + 4 <= len(code):
            cycles += _wide(first, code[position + 2] | code[position + 3] << 8)
            position += 4
        else:
            cycles += _narrow(first)
            position += 2
    return cycles


def uses_floating_point(code: bytes) -> bool:
    """Whether a floating-point instruction is among whole Thumb instructions."""
    position = 0
    while position + 4 <= len(code):
        first = code[position] | code[position + 1] << 8
        if first < 0xE800:
            position += 2
            continue
        coprocessor = code[position + 3] & 0xF
        if first & 0xEC00 == 0xEC00 and coprocessor in (10, 11):
            return True
        position += 4
    return False


def _narrow(op: int) -> int:
    top = op >> 12
    if op >> 11 == 0x9 or (top in (0x5, 0x6, 0x7, 0x8, 0x9) and _narrow_load(op)):
        return 2
    if top == 0xB:
        if op & 0xFE00 in (0xB400, 0xBC00):  # push, pop
            registers = (op & 0x1FF).bit_count()
            returns = op & 0xFF00 == 0xBD00
            return 1 + registers + (BRANCH_REFILL if returns else 0)
        return 1 + BRANCH_REFILL if op & 0xF500 == 0xB100 else 1  # cbz, cbnz
    if top == 0xC:  # ldm, stm
        return 1 + (op & 0xFF).bit_count()
    if top in (0xD, 0xE) or op & 0xFF00 == 0x4700:
        return 1 + BRANCH_REFILL
    return 1


def _narrow_load(op: int) -> bool:
    top = op >> 12
    if top == 0x5:  # register offset: opcodes 3..7 load
        return (op >> 9) & 7 >= 3
    return bool(op & 0x0800)


def _wide(first: int, second: int) -> int:
    group = first >> 9 & 0x7F
    if group == 0b1110100 and not first & 0x40:  # load or store multiple
        load_pc = first & 0x10 and second & 0x8000
        return 1 + second.bit_count() + (BRANCH_REFILL if load_pc else 0)
    if group == 0b1110100:  # double, exclusive, table branch
        if first & 0xFFF0 == 0xE8D0 and second & 0x00E0 == 0:
            return 2 + BRANCH_REFILL
        return 3 if first & 0x120 else 2
    if group == 0b1111100:  # single load or store, byte to word
        return 2 if first & 0x10 else 1
    if first & 0xF800 == 0xF000 and second & 0x8000:
        branches = second & 0x5000 != 0 or (first >> 6) & 0xE != 0xE
        return 1 + BRANCH_REFILL if branches else 2
    if first & 0xFFD0 == 0xFB90 and second & 0xF0 == 0xF0:
        return 7
    if first & 0xEC00 == 0xEC00:
        return _floating(first, second)
    return 1


def _floating(first: int, second: int) -> int:
    if first & 0xEF00 == 0xEE00:  # data processing and transfers
        if first & 0x00B0 == 0x0080 or (first & 0x00BF == 0x00B1 and second & 0xD0 == 0xC0):
            return 14
        return 3 if first & 0x00B0 in (0x00, 0x10, 0xA0) and not second & 0x10 else 1
    if first & 0x0F00 == 0x0D00:  # single load or store
        return 2
    return 1 + (second & 0xFF)
