"""A debugger's view of the virtual board: gdb's remote serial protocol over TCP.

    python -m evalkit run FIRMWARE.elf --gdb 3333
    arm-none-eabi-gdb FIRMWARE.elf -ex "target remote :3333"

Modelled time stands still while the debugger looks. Source: GDB manual, appendix "Remote Serial
Protocol" and "Target Descriptions".
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from common.errors import UserError
from evalkit.hardware.faults import KitFault
from evalkit.hardware.machine import IDLE, LIMIT
from evalkit.hardware.scheduler import SECOND

if TYPE_CHECKING:
    from evalkit.kit import Kit

CORE_REGISTERS = (*(f"R{i}" for i in range(13)), "SP", "LR", "PC", "XPSR")
_SLICE = SECOND // 1000
_INTERRUPT = b"\x03"
_TRAP = "S05"
_SEGMENT_FAULT = "S0b"
_MOST = 0x800

_TARGET = """<?xml version="1.0"?><!DOCTYPE target SYSTEM "gdb-target.dtd"><target version="1.0">
<architecture>arm</architecture><feature name="org.gnu.gdb.arm.m-profile">{registers}</feature>
</target>"""


def _target_description() -> str:
    kinds = {"SP": ' type="data_ptr"', "PC": ' type="code_ptr"'}
    rows = "".join(
        f'<reg name="{name.lower()}" bitsize="32"{kinds.get(name, "")}/>' for name in CORE_REGISTERS
    )
    return _TARGET.format(registers=rows)


class GdbServer:
    """Serves one debugger connection.

    Args:
        kit: the board, not running.
        port: TCP port on this machine; 0 takes a free one (see ``port`` afterwards).

    Raises:
        UserError: the port cannot be had.
    """

    def __init__(self, kit: Kit, port: int) -> None:
        self.kit = kit
        self._machine = kit.machine
        self._listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._listener.bind(("127.0.0.1", port))
        except OverflowError:
            self._listener.close()
            raise UserError(
                f"port {port} cannot be used for a debugger: ports are 0 to 65535"
            ) from None
        except OSError as error:
            self._listener.close()
            why = error.strerror or error
            raise UserError(f"port {port} cannot be used for a debugger: {why}") from error
        self._listener.listen(1)
        self.port: int = self._listener.getsockname()[1]
        self._connection: socket.socket | None = None
        self._buffer = b""
        self._breakpoints: set[int] = set()
        self._last_stop = _TRAP
        self._open = True
        self._commands: dict[str, Callable[[str], str | None]] = {
            "?": lambda _: self._last_stop,
            "g": lambda _: "".join(map(self._register, range(len(CORE_REGISTERS)))),
            "G": self._write_all,
            "p": lambda text: self._register(int(text, 16)),
            "P": self._write_one,
            "m": self._read_memory,
            "M": self._write_memory,
            "c": lambda _: self._resume(),
            "s": lambda _: self._step(),
            "Z": self._set_breakpoint,
            "z": self._clear_breakpoint,
            "H": lambda _: "OK",
            "T": lambda _: "OK",
            "D": self._detach,
            "k": self._kill,
            "q": self._query,
            "v": self._verbose,
        }

    # ---- connection ----------------------------------------------------------------------------

    def serve(self) -> None:
        """Wait for a debugger and do what it asks until it leaves."""
        with self._listener:
            self._connection, _ = self._listener.accept()
        with self._connection:
            while self._open:
                packet = self._receive()
                if packet is None:
                    break
                answer = self._answer(packet)
                if answer is not None:
                    self._send(answer)
        for address in list(self._breakpoints):
            self._clear_breakpoint(f"0,{address:x},2")

    def close(self) -> None:
        """Give the port back without having served anybody."""
        self._listener.close()

    def _receive(self) -> str | None:
        """Next packet; None when the debugger has gone."""
        assert self._connection is not None
        while True:
            start, end = self._buffer.find(b"$"), self._buffer.find(b"#")
            if 0 <= start < end and len(self._buffer) >= end + 3:
                packet = self._buffer[start + 1 : end]
                check = self._buffer[end + 1 : end + 3]
                self._buffer = self._buffer[end + 3 :]
                if check.lower() == b"%02x" % (sum(packet) & 0xFF):
                    self._connection.sendall(b"+")
                    return packet.decode("latin-1")
                self._connection.sendall(b"-")
                continue
            try:
                data = self._connection.recv(4096)
            except OSError:
                return None
            if not data:
                return None
            self._buffer += data
            if len(self._buffer) > 1 << 16:
                return None

    def _send(self, answer: str) -> None:
        assert self._connection is not None
        body = answer.encode("latin-1")
        with contextlib.suppress(OSError):
            self._connection.sendall(b"$" + body + b"#%02x" % (sum(body) & 0xFF))

    def _interrupted(self) -> bool:
        """Whether the debugger asked to stop, or has gone, while the program runs."""
        assert self._connection is not None
        if _INTERRUPT in self._buffer:
            self._buffer = self._buffer.replace(_INTERRUPT, b"")
            return True
        self._connection.setblocking(False)
        try:
            data = self._connection.recv(64)
        except BlockingIOError:
            return False
        except OSError:
            return True
        finally:
            self._connection.setblocking(True)
        self._buffer += data.replace(_INTERRUPT, b"")
        return not data or _INTERRUPT in data

    def _answer(self, packet: str) -> str | None:
        command = self._commands.get(packet[:1])
        if command is None:
            return ""
        try:
            return command(packet[1:])
        except (ValueError, IndexError, KeyError):
            return "E01"

    # ---- registers and memory ------------------------------------------------------------------

    def _register(self, number: int) -> str:
        if number >= len(CORE_REGISTERS):
            return "E01"
        value = self._machine.cpu.register(CORE_REGISTERS[number])
        return value.to_bytes(4, "little").hex()

    def _write_one(self, text: str) -> str:
        number, value = text.split("=")
        self._set(int(number, 16), value)
        return "OK"

    def _write_all(self, text: str) -> str:
        for number in range(len(CORE_REGISTERS)):
            self._set(number, text[8 * number : 8 * number + 8])
        return "OK"

    def _set(self, number: int, text: str) -> None:
        value = int.from_bytes(bytes.fromhex(text), "little")
        name = CORE_REGISTERS[number]
        if name == "PC":
            self._machine.jump(value)
        else:
            self._machine.cpu.set_register(name, value)

    def _read_memory(self, text: str) -> str:
        address, count = (int(part, 16) for part in text.split(","))
        try:
            return self.kit.read_memory(address, min(count, _MOST)).hex()
        except (KitFault, UserError, self._machine.cpu.error):
            return "E0e"

    def _write_memory(self, text: str) -> str:
        where, data = text.split(":")
        address = int(where.split(",")[0], 16)
        try:
            self._machine.cpu.write_memory(address, bytes.fromhex(data))
        except self._machine.cpu.error:
            return "E0e"
        return "OK"

    # ---- running -------------------------------------------------------------------------------

    def _resume(self) -> str:
        """Run until a breakpoint, an interrupt from the debugger, a fault or the end."""
        while True:
            try:
                reason = self._machine.run(self._machine.now + _SLICE)
            except KitFault as fault:
                return self._stopped_by(fault)
            if reason == IDLE:
                self._console("[the firmware sleeps for good]\n")
                return self._stop(_TRAP)
            if reason != LIMIT or self._interrupted():
                return self._stop(_TRAP)

    def _step(self) -> str:
        try:
            self._machine.step()
        except KitFault as fault:
            return self._stopped_by(fault)
        return self._stop(_TRAP)

    def _stop(self, reason: str) -> str:
        self._last_stop = reason
        return reason

    def _stopped_by(self, fault: KitFault) -> str:
        self._console(f"[{self._machine.describe_fault(fault)}]\n")
        return self._stop(_SEGMENT_FAULT)

    def _console(self, text: str) -> None:
        """Text for the debugger's screen."""
        self._send("O" + text.encode().hex())

    def _set_breakpoint(self, text: str) -> str:
        kind, address = text.split(",")[:2]
        if kind not in ("0", "1"):
            return ""
        self._machine.cpu.add_breakpoint(int(address, 16))
        self._breakpoints.add(int(address, 16))
        return "OK"

    def _clear_breakpoint(self, text: str) -> str:
        kind, address = text.split(",")[:2]
        if kind not in ("0", "1"):
            return ""
        self._machine.cpu.remove_breakpoint(int(address, 16))
        self._breakpoints.discard(int(address, 16))
        return "OK"

    # ---- everything else -----------------------------------------------------------------------

    def _detach(self, _text: str) -> str:
        self._open = False
        return "OK"

    def _kill(self, _text: str) -> None:
        self._open = False

    def _query(self, text: str) -> str:
        if text.startswith("Supported"):
            return f"PacketSize={_MOST:x};qXfer:features:read+"
        if text.startswith("Xfer:features:read:target.xml:"):
            offset, length = (int(part, 16) for part in text.rsplit(":", 1)[1].split(","))
            piece = _target_description()[offset : offset + length]
            more = offset + length < len(_target_description())
            return ("m" if more else "l") + piece
        fixed = {"Attached": "1", "C": "QC1", "fThreadInfo": "m1", "sThreadInfo": "l"}
        if text.startswith("Rcmd,"):
            return self._monitor(bytes.fromhex(text[5:]).decode(errors="replace"))
        return fixed.get(text, "")

    def _monitor(self, command: str) -> str:
        """``monitor time``: how far the board's clock has come."""
        if command.strip() != "time":
            return b"unknown; there is: monitor time\n".hex()
        text = f"{self._machine.now / SECOND:.9f} s, {self._machine.cycles} cycles\n"
        return text.encode().hex()

    def _verbose(self, text: str) -> str | None:
        if text == "Cont?":
            return "vCont;c;C;s;S"
        if text.startswith("Cont;"):
            return self._step() if text[5:6] in ("s", "S") else self._resume()
        return ""
