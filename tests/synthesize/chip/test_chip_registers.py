"""Register words written down by hand from the documentation, and the table's own rules."""

from __future__ import annotations

import pytest

from synthesize.chip import fields, limits, memory_map
from synthesize.chip import registers as r
from synthesize.chip.registers import Field, Register


def test_words_written_by_hand() -> None:
    # 3x3 convolution with ReLU, sum of all four quadrants (first quadrant).
    assert r.LCTRL0.encode(master=1, sramlsrc=1, act_en=1, maxpl_en=1, cnnsi_en=0b1110) == 0xEB20
    # 2x2 maximum pooling switched on, not the leading quadrant.
    assert r.LCTRL0.encode(master=1, sramlsrc=1, act_en=1, maxpl_en=1, pool_en=1) == 0x0BA0
    # 32-bit output without activation.
    assert r.LCTRL0.encode(master=1, sramlsrc=1, maxpl_en=1, bigdwrt=1) == 0x10920
    # 64 rows with one row of padding at each end.
    assert r.RCNT.encode(rcnt_max=65, rcnt_pad=1) == 0x10041
    # 4-bit weights, four to the left, bias from byte 224 on.
    assert r.POST.encode(mask_size=3, scale_reg=4, bptr_en=1, bptr_sad=224) == 0xC090E0
    # Five to the right.
    assert r.POST.encode(scale_shft=1, scale_reg=5) == 0x2A000
    # Two operands added, then convolved.
    assert r.ONED.encode(ewise_en=1, ewise_func=1, two_d_conv=1, ewise_cnt=1) == 0x66000
    assert r.ONED.encode(oned_en=1, oned_width=3) == 0x1300
    assert r.LCTRL1.encode(xpch_max=47 * 4, wptr_inc=1, inpchexp=1) == 0xBC11
    assert r.MCNT.encode(mcnt_sad=0x100, mcnt_max=0x27C) == 0x0100027C
    assert r.WPTR_BASE.encode(instance=8, word=0x400) == 0x10400
    assert r.EN.encode(mask_en=0xFFF, pro_en=0xFFF) == 0x0FFF0FFF
    assert r.STRM1.encode(strm_invol=1, strm_dsval1=2, strm_dsval2=0x84) == 0x840021
    assert r.CTRL.encode(clk_en=1, mexpress=1, ext_sync=4, cnn_en=1) == 0x100809
    assert r.CTRL.encode(cnn_irq=1, cnn_en=1) == 0x1001
    assert r.FIFO_CTRL.encode(almost_full=2, almost_empty=2, cpl=1, fifo_en=1) == 0x1908
    assert r.SRAM.encode(rmargin_en=1, rmargin=3, wneg_en=1) == r.SRAM_SETTING


def test_addresses_written_by_hand() -> None:
    assert r.global_address(0, r.CTRL) == 0x50100000
    assert r.global_address(3, r.LCNT_MAX) == 0x50D00008
    assert r.global_address(1, r.IFRM) == 0x50500990
    assert r.layer_address(0, 0, r.RCNT) == 0x50100010
    assert r.layer_address(0, 1, r.LCTRL0) == 0x50100594
    assert r.layer_address(2, 31, r.POST) == 0x50900790 + 31 * 4
    assert r.layer_address(0, 15, r.LCTRL1) == 0x50100A4C
    assert r.layer_address(0, 7, r.FBUF) == 0x5010092C
    assert r.shared_address(r.AOD_CTRL) == 0x50001000
    assert memory_map.data_address(4) == 0x50408000
    assert memory_map.data_address(63, 8191) == 0x5101FFFC
    assert memory_map.weight_address(17, 1) == 0x50584010
    assert memory_map.packed_weight_start(1, 0x88) == 0x50184221
    assert memory_map.bias_address(3, 511) == 0x50D087FC


@pytest.mark.parametrize("place", list(r.REGISTER_MAP.items())[::13])
def test_every_bit_belongs_to_one_field(place: tuple[int, r.Place]) -> None:
    fields = place[1].register.fields
    assert sum(f.width for f in fields) == 32
    assert sum(f.mask for f in fields) == 0xFFFF_FFFF


def test_decode_inverts_encode() -> None:
    for register in {p.register.name: p.register for p in r.REGISTER_MAP.values()}.values():
        values = {
            f.name: (0x5A5A5A5A >> f.lsb) & f.maximum
            for f in register.fields
            if f.kind != r.RESERVED
        }
        assert register.decode(register.encode(**values)) == values


def test_overlapping_or_too_wide_fields_are_refused() -> None:
    with pytest.raises(ValueError, match=r"X\.b overlaps a"):
        Register("X", (Field("a", 0, 4), Field("b", 3)))
    with pytest.raises(ValueError, match=r"X\.a does not fit in 32 bits"):
        Register("X", (Field("a", 30, 3),))
    with pytest.raises(ValueError, match="names a field twice"):
        Register("X", (Field("a", 0), Field("a", 1)))


def test_values_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"RCNT\.rcnt_pad = 4 does not fit in 2 bits"):
        r.RCNT.encode(rcnt_pad=4)
    with pytest.raises(ValueError, match="has no field 'reserved_15_10'"):
        r.RCNT.encode(reserved_15_10=1)
    with pytest.raises(ValueError, match="exists for layers 0 to 7"):
        r.layer_address(0, 8, r.FBUF)


def test_misused_fields_are_found() -> None:
    wrong = r.LCTRL0.misused(1 << 20)
    assert wrong is not None
    assert (wrong.name, wrong.kind) == ("reserved_31_17", r.RESERVED)
    wrong = r.CTRL.misused(r.CTRL.reset | 1 << 31)
    assert wrong is not None
    assert (wrong.name, wrong.kind) == ("qupac", r.UNMODELLED)
    assert r.CTRL.misused(0) is None


def test_names_of_addresses() -> None:
    assert r.describe(0x50500594 + 8) == "quadrant 1, layer 3, LCTRL0"
    assert r.describe(0x50100000) == "quadrant 0, CTRL"
    assert r.describe(0x50000004) == "FIFO_STAT"
    assert r.describe(0x50408004) == "quadrant 0, data memory 1, word 1"
    assert r.describe(0x50584010) == "quadrant 1, weights of processor 17, word 1"
    assert r.describe(0x50D087FC) == "quadrant 3, bias 511"
    assert r.describe(0x50101004) == "no register or memory"


def test_memory_windows() -> None:
    assert memory_map.locate(0x50107FFC) is None
    assert memory_map.locate(0x50108800) is None
    assert memory_map.locate(0x51020000) is None
    where = memory_map.locate(0x5101FFFC)
    assert where == memory_map.Location("data", 3, 15, 0x7FFC)
    with pytest.raises(ValueError, match="processor 64 does not exist"):
        memory_map.data_address(64)
    with pytest.raises(ValueError, match="kernel word 768 does not exist"):
        memory_map.weight_address(0, 768)


def test_limits_are_those_of_the_data_sheet() -> None:
    assert limits.WEIGHT_BYTES == 442_368
    assert limits.BIAS_BYTES == 2_048
    assert limits.DATA_BYTES == 524_288


def test_what_writing_does_is_on_the_field() -> None:
    register = fields.Register(
        "R",
        (
            fields.Field("plain", 0, 4),
            fields.Field("status", 4, 2, fields.STATUS),
            fields.Field("flag", 8, write=fields.CLEARED_BY_1),
            fields.Field("late", 9, write=fields.CLEARED_BY_0),
            fields.Field("start", 10, write=fields.CLEARS_ITSELF),
        ),
    )
    old = register.encode(plain=3, status=2, flag=1, late=1)
    kept = register.written(old, register.encode(plain=9, status=1, late=1, start=1))
    assert register.decode(kept) == {"plain": 9, "status": 2, "flag": 1, "late": 1, "start": 0}
    gone = register.written(old, register.encode(flag=1))
    assert register.decode(gone) == {"plain": 0, "status": 2, "flag": 0, "late": 0, "start": 0}
    never_set = register.written(0, register.encode(flag=1, late=1))
    assert never_set == 0
    assert register.mask("plain", "late") == 0x20F
