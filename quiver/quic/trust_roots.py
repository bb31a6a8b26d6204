"""The roots that a pool trusts, in memory, with what verifies by them, for all its handshakes.

Reading them costs milliseconds, of many a third of one for each: these are read when one is needed.
And a file that is away for a moment, or for which no descriptor is left, would fail whoever dials
then.

What the first ones are given to is made with the package, and has refused who has none: that is the
same for all, and takes longer than to read them.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import ssl
import stat
from collections.abc import Iterator
from functools import lru_cache, partial
from typing import Final

import certifi

from quiver.chain_verifier import ChainVerifier, default_context
from quiver.quic.file_cache import CACHE_SIZE, FileCache
from quiver.quic.roots_by_name import RootsByName, many_certificates

__all__ = ["Roots", "roots_by", "roots_of", "system_roots"]

Roots = FileCache[ChainVerifier]

_BEGIN: Final = rb"-----BEGIN ((?:X509 |TRUSTED )?CERTIFICATE)-----"
_BEGINS: Final = re.compile(_BEGIN)
_CERTIFICATE: Final = re.compile(_BEGIN + rb".*?-----END \1-----", re.DOTALL)


@lru_cache(CACHE_SIZE)
def roots_of(path: str | None, pem: bytes | None) -> Roots:
    """The certificates of a PEM file, or given as PEM, or both: the same for all pools.

    Raises:
        OSError: the file cannot be read.
        ValueError: it, or `pem`, holds no certificates, or one that cannot be read.
    """
    files = [] if path is None else [path]
    return FileCache(files, partial(_read, files, [], pem))


def roots_by(context: ssl.SSLContext) -> Roots:
    """What a context of the program's own trusts, by its own rules."""
    return FileCache([], partial(ChainVerifier, context, given=True))


def system_roots() -> Roots:
    """The roots of the system, as OpenSSL has them: SSL_CERT_FILE, SSL_CERT_DIR, or its own paths.

    A variable stands in place of one of these paths, and the other holds still. The file is read
    here; in the folder OpenSSL looks when it needs a root that it has not got, and keeps it. Where
    the system has no roots, and the environment names none, they are certifi's.

    Raises:
        OSError: what the environment names cannot be read.
        ValueError: there are no certificates in it, or one that cannot be read.
    """
    return _system_roots(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


@lru_cache(CACHE_SIZE)
def _system_roots(file: str | None, folder: str | None) -> Roots:
    usual = ssl.get_default_verify_paths()
    files = [file] if file else []
    if file is None:
        files = [each for each in (usual.openssl_cafile,) if stat.S_ISREG(_mode(each))]
    within = usual.openssl_capath if folder is None else folder
    folders = [each for each in within.split(os.pathsep) if stat.S_ISDIR(_mode(each))]
    if folder and stat.S_ISREG(_mode(folder)) and ssl.OPENSSL_VERSION_INFO >= (3,):
        files.append(folder)  # to OpenSSL a store is either
    if folder and not folders and not files:
        raise NotADirectoryError(errno.ENOTDIR, "it is no folder", folder)
    if file is folder is None and not files and not any(map(_has_roots, folders)):
        return roots_of(certifi.where(), None)
    return FileCache(files, partial(_read, files, folders, None))


def _mode(path: str) -> int:
    """What is there, 0 for nothing. What a signal's handler raises meanwhile may be an OSError as
    well, which `os.path.isfile` takes for the file's absence: for ever, as this is kept."""
    try:
        return os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return 0


def _has_roots(folder: str) -> bool:
    """Whether it has a file by a name that OpenSSL looks for, as `openssl rehash` makes them."""
    return any(re.fullmatch(r"[0-9a-f]{8}\.[0-9]+", name) for name in os.listdir(folder))


def _made_ahead() -> list[ChainVerifier]:
    """One that trusts nobody yet. Where there can be none, whoever needs one is told why."""
    if os.environ.get("SSLKEYLOGFILE"):
        return []  # ssl would make that file
    try:
        return [ChainVerifier(default_context())]
    except Exception:  # noqa: BLE001 - ssl's classes and functions may be a program's own
        return []


_MADE_AHEAD: Final = _made_ahead()


def _read(files: list[str], folders: list[str], pem: bytes | None) -> ChainVerifier:
    try:
        verifier = _MADE_AHEAD.pop()
    except IndexError:
        verifier = ChainVerifier(default_context())
    context = verifier.context
    lazy = []
    for file in files:
        lazy += _load_file(context, file)
    for folder in folders:
        context.load_verify_locations(capath=folder)
    if pem is not None:
        blocks = _certificates(pem)
        with _unreadable_is_said():
            context.load_verify_locations(cadata=b"\n".join(blocks).decode("ascii"))
    verifier.roots = RootsByName(lazy)
    return verifier


def _load_file(context: ssl.SSLContext, path: str) -> list[bytes]:
    """Have a context trust what is in it, but for roots that may wait until they are needed."""
    with open(path, "rb") as file:
        pem = file.read()
    if waiting := many_certificates(pem):
        return waiting
    _certificates(pem)
    with _unreadable_is_said():
        context.load_verify_locations(cafile=path)
    return []


@contextlib.contextmanager
def _unreadable_is_said() -> Iterator[None]:
    try:
        yield
    except (ssl.SSLError, UnicodeDecodeError) as error:
        raise ValueError("a certificate in it cannot be read") from error


def _certificates(pem: bytes) -> list[bytes]:
    """Those in a text, each as PEM, without what stands between them."""
    blocks = [found.group() for found in _CERTIFICATE.finditer(pem)]
    if not blocks:
        raise ValueError("no certificate is in it")
    if sum(1 for _ in _BEGINS.finditer(pem)) > len(blocks):
        raise ValueError("it breaks off in a certificate")
    return blocks
