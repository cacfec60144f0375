# SPDX-License-Identifier: Apache-2.0
"""The host's certificate: self-signed, ECDSA on P-256, made at the first boot (RFC 5280)."""

import datetime
import ipaddress
from collections.abc import Sequence
from pathlib import Path

from tepui.shell import files

DAYS = 3650


def _name(text: str) -> "object":
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def ensure(folder: Path, names: Sequence[str]) -> tuple[Path, Path]:
    """(certificate, key) as PEM files in folder; made for `names` when one is missing."""
    certificate, key = folder / "rui.crt", folder / "rui.key"
    if not (certificate.exists() and key.exists()):
        _make(certificate, key, names)
    return certificate, key


def _make(certificate: Path, key: Path, names: Sequence[str]) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    private = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    alternative = x509.SubjectAlternativeName([_name(n) for n in names])  # type: ignore[misc]
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))  # clocks differ
        .not_valid_after(now + datetime.timedelta(days=DAYS))
        .add_extension(alternative, critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(private, hashes.SHA256())
    )
    # The key first: ensure() makes both anew if we stop in between.
    pem = serialization.Encoding.PEM
    pkcs8, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    files.replace(key, private.private_bytes(pem, pkcs8, plain).decode())
    files.replace(certificate, signed.public_bytes(pem).decode(), 0o644)


def fingerprint(certificate: Path) -> str:
    """SHA-256 of the certificate as AA:BB:..., what the first screen and clients show."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    parsed = x509.load_pem_x509_certificate(certificate.read_bytes())
    return parsed.fingerprint(hashes.SHA256()).hex(":").upper()
