"""The debugger's protocol, spoken by a small client over a real socket."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from common.errors import UserError
from evalkit.gdb import GdbServer
from evalkit.kit import Kit
from tests.helpers.mini_firmware import build_program

PROGRAM = """
#include <stdint.h>
#include "console.h"
#include "platform.h"
volatile uint32_t counter = 7;
void __attribute__((noinline)) bump(uint32_t by) { counter = counter + by; }
int main(void)
{
    platform_init();
    bump(1);
    console_text("one ");
    bump(2);
    console_text("two ");
    *(volatile uint32_t *)0x30000000 = 1;
    return 0;
}
"""


class Client:
    """Just enough of gdb."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.buffer = b""
        self.console = ""

    def ask(self, command: str) -> str:
        body = command.encode()
        self.socket.sendall(b"$" + body + b"#%02x" % (sum(body) & 0xFF))
        while True:
            answer = self.packet()
            if answer.startswith("O") and answer != "OK":
                self.console += bytes.fromhex(answer[1:]).decode()
                continue
            return answer

    def packet(self) -> str:
        while True:
            start, end = self.buffer.find(b"$"), self.buffer.find(b"#")
            if 0 <= start < end and len(self.buffer) >= end + 3:
                body = self.buffer[start + 1 : end]
                assert self.buffer[end + 1 : end + 3] == b"%02x" % (sum(body) & 0xFF)
                self.buffer = self.buffer[end + 3 :]
                return body.decode()
            data = self.socket.recv(4096)
            assert data, "the server has gone"
            self.buffer += data

    def word(self, address: int) -> int:
        return int.from_bytes(bytes.fromhex(self.ask(f"m{address:x},4")), "little")

    def register(self, number: int) -> int:
        return int.from_bytes(bytes.fromhex(self.ask(f"p{number:x}")), "little")


PC = 15


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_program(tmp_path_factory.mktemp("gdb") / "program", PROGRAM)


@pytest.fixture
def session(image: Path) -> Iterator[tuple[Client, Kit]]:
    kit = Kit(image)
    server = GdbServer(kit, 0)
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    client = Client(server.port)
    yield client, kit
    client.socket.close()
    thread.join(timeout=60)
    assert not thread.is_alive()


def address_of(kit: Kit, name: str) -> int:
    return kit.machine.firmware.symbols[name][0]


def test_breakpoint_registers_and_memory(session: tuple[Client, Kit]) -> None:
    client, kit = session
    assert "qXfer:features:read+" in client.ask("qSupported:multiprocess+")
    assert "m-profile" in client.ask("qXfer:features:read:target.xml:0,fff")
    assert client.ask("?") == "S05"
    bump, counter = address_of(kit, "bump"), address_of(kit, "counter")
    assert client.ask(f"Z0,{bump:x},2") == "OK"
    for argument, before in ((1, 7), (2, 8)):
        assert client.ask("c") == "S05"
        assert client.register(PC) == bump
        assert client.register(0) == argument
        assert client.word(counter) == before
    assert client.ask(f"z0,{bump:x},2") == "OK"
    everything = client.ask("g")
    assert len(everything) == 17 * 8
    assert int.from_bytes(bytes.fromhex(everything[8 * PC : 8 * PC + 8]), "little") == bump


def test_steps_execute_one_instruction_each(session: tuple[Client, Kit]) -> None:
    client, kit = session
    bump, counter = address_of(kit, "bump"), address_of(kit, "counter")
    client.ask(f"Z0,{bump:x},2")
    client.ask("c")
    seen = []
    for _ in range(12):
        seen.append(client.register(PC))
        assert client.ask("s") == "S05"
    size = kit.machine.firmware.symbols["bump"][1]
    inside = [pc for pc in seen if bump <= pc < bump + size]
    assert len(inside) >= 4
    assert inside == sorted(inside)
    assert all(b - a in (2, 4) for a, b in pairwise(inside))
    assert client.word(counter) == 8


def test_memory_and_registers_can_be_changed(session: tuple[Client, Kit]) -> None:
    client, kit = session
    bump, counter = address_of(kit, "bump"), address_of(kit, "counter")
    client.ask(f"Z0,{bump:x},2")
    client.ask("c")
    assert client.ask(f"M{counter:x},4:64000000") == "OK"
    assert client.ask("P0=0a000000") == "OK"
    client.ask("c")
    assert client.word(counter) == 110


def test_fault_is_explained_on_the_debuggers_screen(session: tuple[Client, Kit]) -> None:
    client, _ = session
    assert client.ask("c") == "S0b"
    assert "write to address 0x30000000" in client.console
    assert "main.c:14" in client.console


def test_wrong_requests_are_errors(session: tuple[Client, Kit]) -> None:
    client, _ = session
    assert client.ask("m30000000,4") == "E0e"
    assert client.ask("mxyz") == "E01"
    assert client.ask("p99") == "E01"
    assert client.ask("nonsense") == ""
    assert client.ask("Z4,0,4") == ""
    time = bytes.fromhex(client.ask("qRcmd," + b"time".hex())).decode()
    assert time.startswith("0.000000000 s")


def test_running_program_can_be_interrupted(image: Path, tmp_path: Path) -> None:
    source = "int main(void) { volatile int i = 0; for (;;) i = i + 1; }\n"
    kit = Kit(build_program(tmp_path / "program", source))
    server = GdbServer(kit, 0)
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    client = Client(server.port)
    client.socket.sendall(b"$c#63")
    client.socket.sendall(b"\x03")
    assert client.packet() == "S05"
    assert client.ask("D") == "OK"
    client.socket.close()
    thread.join(timeout=60)
    assert not thread.is_alive()


def test_taken_port_is_reported(image: Path) -> None:
    first = GdbServer(Kit(image), 0)
    with pytest.raises(UserError, match=f"port {first.port} cannot be used"):
        GdbServer(Kit(image), first.port)
    first.close()
