"""``python -m evalkit flash FIRMWARE.elf``: write firmware into a board's flash with OpenOCD."""

from __future__ import annotations

from pathlib import Path

from common.arguments import Parser
from common.console import program, say
from evalkit.host.flash import check_firmware, command, find_openocd, flash


def main(given: list[str]) -> int:
    """Command line.

    Raises:
        UserError: no OpenOCD, no ELF, or OpenOCD failed.
    """
    parser = Parser(prog=program("python -m evalkit flash"), description=__doc__)
    parser.add_argument("firmware", type=Path, help="ELF executable for the MAX78000")
    parser.add_argument("--openocd", help="OpenOCD program (default: openocd on the PATH)")
    parser.add_argument("--scripts", type=Path, help="folder of its scripts, if not the usual one")
    parser.add_argument("--under-reset", action="store_true", help="connect while in reset")
    parser.add_argument("--mass-erase", action="store_true", help="erase the whole flash first")
    options = parser.parse_args(given)
    check_firmware(options.firmware)
    openocd = find_openocd(options.openocd)
    say(f"flashing {options.firmware} ...")
    scripts, reset, erase = options.scripts, options.under_reset, options.mass_erase
    flash(command(openocd, options.firmware, scripts, reset, erase))
    print("flashed and verified; the board runs it now")
    return 0
