"""Every way in which a Redis or a Valkey is reached: a name, and a context manager that gives the URL."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.certificates import Certificates, make_certificates
from tests.engines import TEST_REDIS_URL, DebianRedis, Valkey, ValkeyCluster, ValkeySentinel, ask, free_port, give_away
from tests.fault_proxy import FaultProxy

#: What the documentation says that our user needs.
GRANTS = ("~mfa:*", "-@all", "+@read", "+@write", "+@scripting", "+@connection", "+time", "+info")
#: What they need besides in a Cluster.
CLUSTER_GRANTS = ("+cluster|slots", "+cluster|info")


def restrict(node: Valkey, *more: str) -> None:
    """Make the user ``mfa`` with the password ``pw``, who may what the documentation says and no more."""
    ask(node, "ACL", "SETUSER", "mfa", "reset", "on", ">pw", *GRANTS, *more)


@contextmanager
def memory() -> Iterator[str]:
    yield "memory://"


@contextmanager
def valkey() -> Iterator[str]:
    if TEST_REDIS_URL:
        yield TEST_REDIS_URL
        return
    with Valkey() as server:
        yield server.url


@contextmanager
def unix_socket_and_restricted_user() -> Iterator[str]:
    with Valkey("--unixsocket", "redis.sock", "--unixsocketperm", "777") as server:
        restrict(server)
        yield f"unix://mfa:pw@{server.folder}/redis.sock?db=1"


@contextmanager
def tls_front() -> Iterator[str]:
    with certificates() as made, Valkey() as server:
        with FaultProxy(("127.0.0.1", server.port), tls=made.server_context()) as front:
            yield f"rediss://127.0.0.1:{front.port}/0?ssl_ca_certs={made.ca}"


@contextmanager
def redis_with_tls() -> Iterator[str]:
    with certificates() as made, TlsRedis(made) as server:
        yield server.tls_url


@contextmanager
def cluster_and_restricted_user() -> Iterator[str]:
    with ValkeyCluster() as made:
        for node in made.nodes:
            restrict(node, *CLUSTER_GRANTS)
        yield made.url.replace("://", "://mfa:pw@")


@contextmanager
def sentinel() -> Iterator[str]:
    with ValkeySentinel() as made:
        yield made.url


ENGINES: Mapping[str, Callable[[], AbstractContextManager[str]]] = {
    engine.__name__: engine
    for engine in (
        memory,
        valkey,
        unix_socket_and_restricted_user,
        tls_front,
        redis_with_tls,
        cluster_and_restricted_user,
        sentinel,
    )
}
#: Those that take more than a second.
SLOW_TO_START = {"cluster_and_restricted_user", "sentinel"}


class TlsRedis(DebianRedis):
    """A Redis that speaks TLS on a second port: its own port is for the test."""

    def __init__(self, made: Certificates) -> None:
        self._tls_port = free_port()
        files = ("--tls-cert-file", str(made.certificate), "--tls-key-file", str(made.key))
        super().__init__(
            *("--tls-port", str(self._tls_port), "--tls-auth-clients", "no", "--tls-ca-cert-file", str(made.ca)), *files
        )
        self._ca = made.ca

    @property
    def tls_url(self) -> str:
        return f"rediss://localhost:{self._tls_port}/0?ssl_ca_certs={self._ca}"


@contextmanager
def certificates() -> Iterator[Certificates]:
    """Certificates that servers may read, which run as somebody else."""
    with TemporaryDirectory(prefix="mfa-test-") as folder:
        made = make_certificates(Path(folder))
        give_away(Path(folder), made.ca, made.certificate, made.key)
        yield made
