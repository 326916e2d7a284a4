"""A certificate for the callback API's real name, from an authority that only the tests trust."""

import fargate
import pytest
import trustme


@pytest.fixture(scope="session")
def tls(tmp_path_factory):
    """The API's certificate with its key, and the authority to trust: two PEM files."""
    folder = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "authority.pem")
    certificate = authority.issue_cert(fargate.API)
    certificate.private_key_and_cert_chain_pem.write_to_path(folder / "api.pem")
    return folder / "api.pem", folder / "authority.pem"
