# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The Millrace contributors
"""The cards of the Raspberry Pis: what is on them, as no emulator starts from all of it."""

import gzip
import pathlib
import subprocess

import machine as machines
import pytest

image = machines.program_as_module("image")
MIB = 1 << 20
PIS = [board for board in image.BOARDS if "dtbs" in image.BOARDS[board]]


@pytest.fixture(params=PIS)
def board(request):
    if not (machines.IMAGE.with_name(request.param) / "card.img").exists():
        pytest.skip(f"there is no image of {request.param}: make test-qemu makes it")
    return request.param


def boot_files(card, folder):
    subprocess.run(["mcopy", "-s", "-i", f"{card}@@{MIB}", "::*", folder], check=True)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_what_the_firmware_starts_is_on_the_card(board, tmp_path):
    folder = machines.IMAGE.with_name(board)
    files = boot_files(folder / "card.img", tmp_path)
    lines = files["config.txt"].decode().splitlines()
    config = dict(line.split("=") for line in lines if "=" in line)
    assert config["arm_64bit"] == config["upstream_kernel"] == config["enable_uart"] == "1"
    assert bool(files[config["kernel"]] == gzip.decompress((folder / "vmlinuz").read_bytes()))
    assert files[config["kernel"]][0x38:0x3C] == b"ARMd"  # Documentation/arch/arm64/booting.rst
    (initramfs,) = [line.split() for line in lines if "=" not in line]
    assert initramfs[0] == "initramfs" and initramfs[2] == "followkernel"
    assert bool(files[initramfs[1]] == (folder / "initramfs.gz").read_bytes())
    assert files["cmdline.txt"].decode().startswith(f"console={image.BOARDS[board]['console']},")
    wanted = {*image.BOARDS[board]["firmware"], *(f"{name}.dtb" for name in image.BOARDS[board]["dtbs"])}
    assert wanted <= set(files)
    # The firmware has the trees' names in parts: bcm%d-rpi-%s.dtb.
    programs = [data for name, data in files.items() if name.endswith(".elf")]
    for name in image.BOARDS[board]["dtbs"]:
        assert all(name.partition("-rpi-")[2].encode() + b"\0" in program for program in programs), name


def test_the_partitions(board, tmp_path):
    card = (machines.IMAGE.with_name(board) / "card.img").read_bytes()
    assert card[510:512] == b"\x55\xaa"
    entries = [card[446 + 16 * n : 462 + 16 * n] for n in range(4)]
    assert card[MIB + 82 : MIB + 90] == b"FAT32   "
    ends = MIB
    for entry, kind in zip(entries, (0x0C, 0x83)):
        start, size = (int.from_bytes(entry[at : at + 4], "little") * 512 for at in (8, 12))
        assert entry[4] == kind and start == ends
        ends = start + size
    assert ends <= len(card) and not any(entries[2] + entries[3])
    state = tmp_path / "state"
    state.write_bytes(card[start:ends])
    assert subprocess.run(["/sbin/e2fsck", "-fn", state], capture_output=True).returncode == 0


def unpacked(archive):
    """The files of a cpio archive, by their names: Documentation/driver-api/early-userspace/buffer-format.rst."""
    files, at = {}, 0
    while True:
        fields = [int(archive[at + 6 + 8 * n : at + 14 + 8 * n], 16) for n in range(13)]
        size, length = fields[6], fields[11]
        name = archive[at + 110 : at + 110 + length - 1].decode()
        if name == "TRAILER!!!":
            return files
        at = (at + 110 + length + 3) & ~3
        files[name] = archive[at : at + size]
        at = (at + size + 3) & ~3


def test_the_modules_are_in_the_initramfs(board):
    """All that is to be loaded is there, and among it the card's own driver and the regulators that it needs."""
    files = unpacked(gzip.decompress((machines.IMAGE.with_name(board) / "initramfs.gz").read_bytes()))
    order = files["lib/modules/order"].decode().split()
    assert sorted(order) == sorted(pathlib.PurePath(name).name for name in files if name.endswith(".ko"))
    expected = {"rpi3": ["bcm2835", "dwc2"], "rpi-zero2w": ["bcm2835", "dwc2"],
                "rpi4": ["sdhci_iproc", "gpio_regulator", "fixed", "genet"],
                "rpi5": ["sdhci_brcmstb", "gpio_regulator", "fixed", "pinctrl_rp1", "clk_rp1", "rp1_pci", "macb"]}
    assert {f"{name}.ko" for name in expected[board]} <= set(order)


def test_the_same_inputs_give_the_same_card(tmp_path):
    folder = machines.IMAGE.with_name("rpi4")
    program = machines.ROOT / "build/release-arm64/rpi4/gateway.package"
    if not program.exists():
        pytest.skip("there is no image of rpi4: make test-qemu makes it")
    subprocess.run([machines.ROOT / "toolchain/image", "rpi4", "--gateway", program, "--output", tmp_path / "again"],
                   check=True, umask=0o077)
    for name in ("card.img", "manifest"):
        assert bool((tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()), name


def test_a_kernel_that_does_not_know_the_board():
    """Debian 12 and 13 begin with a kernel that has no drivers for a Raspberry Pi 5."""
    kernel = pathlib.Path(subprocess.run([machines.ROOT / "toolchain/kernel", "arm64"], check=True,
                                         capture_output=True, text=True).stdout.strip())
    assert " 6.12." in (kernel / "packages").read_text()
    with pytest.raises(image.Failure) as failure:
        image.driver_modules("rpi5", kernel)
    said = str(failure.value).splitlines()
    assert said[0].startswith("Debian's kernel 6.12.") and " does not know rpi5" in said[0]
    assert "  no driver for brcm,bcm2712-sdhci, /soc@107c000000/mmc@fff000 in bcm2712-rpi-5-b" in said
    assert "make deb ARCH=arm64" in said[-1]
    # The same board's devices, with a kernel that knows all of them: nothing is said.
    assert image.driver_modules("rpi4", kernel)
