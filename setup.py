"""What setup.cfg cannot say: a source distribution is the checkout, file by file."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from setuptools import setup
from setuptools.command.sdist import sdist

LINK: Final = Path("quiver", "actors")


class SdistAsItIs(sdist):
    """Keep a link a link, and a setup.cfg its comments.

    setuptools would follow the link, which makes two copies of one package, and write setup.cfg
    anew, to pin a tag of the version that ours does not have.
    """

    def make_release_tree(self, base_dir: str, files: Iterable[str]) -> None:
        others = [name for name in files if not Path(name).is_relative_to(LINK)]
        super().make_release_tree(base_dir, others)
        (base_dir / LINK).symlink_to(LINK.readlink())
        shutil.copy("setup.cfg", base_dir)


setup(cmdclass={"sdist": SdistAsItIs})
