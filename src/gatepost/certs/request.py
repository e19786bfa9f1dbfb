"""Requests to a certificate authority (PKCS#10, RFC 2986): what to certify, signed by the key it is about."""

from __future__ import annotations

from collections.abc import Sequence

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding

from gatepost.certs.keys import signing_hash
from gatepost.certs.subject import alternative_names, subject_name, usages
from gatepost.errors import CertificateError
from gatepost.tls.credential import PrivateKey, key_weakness


def make_request(key: PrivateKey, names: Sequence[str], *, email: str = "", **fields: str) -> bytes:
    """Make a request.

    :param names: host names, wildcards and addresses; the first becomes the common name, too.
    :param email: an address for the certificate's names, for one that identifies a sending server; usually none.
    :param fields: the subject's, as ``subject.SUBJECT_FIELDS`` names them.
    :return: PEM.
    :raises LocalProtocolError: when a name or field cannot be used.
    :raises CertificateError: when the key is too weak.
    """
    if weakness := key_weakness(key):
        raise CertificateError(f"the key is too weak: {weakness}", hint="leave --key out, and a new one is made")
    alternative = alternative_names(names)
    if email:
        try:
            alternative = x509.SubjectAlternativeName([*alternative, x509.RFC822Name(email)])
        except ValueError as error:
            raise CertificateError(f"{email!r} is no e-mail address that a certificate can carry") from error
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject_name(names, **fields))
    builder = builder.add_extension(alternative, critical=False)
    for extension, critical in usages(rsa=isinstance(key, rsa.RSAPrivateKey)):
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(key, signing_hash(key)).public_bytes(Encoding.PEM)
