# SPDX-License-Identifier: Apache-2.0
"""The kernel that the machine boots: that of Debian's package, taken out of it and never installed."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

# What a kernel without a virtual network card built in needs of its package.
NETWORK_MODULES = ("virtio_pci", "virtio_net")


class UnavailableError(Exception):
    """Why there can be no machine here."""


@dataclass(frozen=True)
class Kernel:
    release: str
    image: Path
    config: Path
    modules: tuple[Path, ...]  # in the order in which they are to be loaded

    def has(self, option: str) -> bool:
        """Whether it was built with that option, as CONFIG_KASAN."""
        return re.search(rf"^{option}=y$", self.config.read_text(), re.MULTILINE) is not None


def find_kernel(release: str, cache: Path, built: Path | None = None) -> Kernel:
    """The kernel of that release: one built by hand (its folder), an installed one, or the package's."""
    if built is not None:
        return Kernel(release, built / "arch/x86/boot/bzImage", built / ".config", ())
    for root in (Path("/"), cache / release):
        kernel = _kernel_under(root, release)
        if kernel is not None:
            return kernel
    _unpack_package(release, cache)
    kernel = _kernel_under(cache / release, release)
    if kernel is None:
        raise UnavailableError(f"the package linux-image-{release} has no kernel with a virtio network card")
    return kernel


def _kernel_under(root: Path, release: str) -> Kernel | None:
    image, config = root / f"boot/vmlinuz-{release}", root / f"boot/config-{release}"
    folder = root / f"lib/modules/{release}/kernel"
    if not (image.exists() and config.exists() and folder.exists()):
        return None
    found = {path.stem.replace("-", "_"): path for path in folder.rglob("*.ko")}
    if any(name not in found for name in NETWORK_MODULES):
        return None
    return Kernel(release, image, config, tuple(found[name] for name in _in_load_order(found)))


def _in_load_order(found: dict[str, Path]) -> list[str]:
    """The modules of the network with those that they need in front, as each names them itself."""
    order: list[str] = []

    def add(name: str) -> None:
        if name in order or name not in found:
            return
        needs = re.search(rb"\0depends=([^\0]*)\0", b"\0" + found[name].read_bytes())
        for need in needs.group(1).decode().split(",") if needs else ():
            add(need.replace("-", "_"))
        order.append(name)

    for name in NETWORK_MODULES:
        add(name)
    return order


def _unpack_package(release: str, cache: Path) -> None:
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise UnavailableError("apt-get and dpkg-deb, which fetch Debian's kernel, are not here")
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        package = f"linux-image-{release}"
        fetched = subprocess.run(
            ["apt-get", "download", "-o", "APT::Sandbox::User=root", package],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        files = list(Path(folder).glob("*.deb"))
        if fetched.returncode != 0 or not files:
            raise UnavailableError(
                f"{package} cannot be fetched: {(fetched.stderr.strip() or '?').splitlines()[-1]}"
            )
        unpacked = Path(folder) / "unpacked"
        subprocess.run(["dpkg-deb", "-x", files[0], unpacked], check=True)
        shutil.rmtree(cache / release, ignore_errors=True)
        unpacked.rename(cache / release)
