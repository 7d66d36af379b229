"""TLS by certificate files: a real handshake, renewal by SIGHUP, and what is told of files that cannot be."""

from __future__ import annotations

import http.client
import json
import shutil
import signal
import socket
import ssl
import subprocess
from pathlib import Path

import pytest
from websockets.sync.client import connect

from logsvc.settings import Settings, read
from processes import ServiceProcess, wait_until


def trusting(certificates: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=certificates / "ca.pem")


def served(port: int, context: ssl.SSLContext) -> bytes | None:
    """The certificate that a new connection is shown."""
    with socket.create_connection(("127.0.0.1", port), 30) as plain:
        with context.wrap_socket(plain, server_hostname="127.0.0.1") as connection:
            return connection.getpeercert(binary_form=True)


def asked(connection: http.client.HTTPSConnection, target: str, **headers: str) -> http.client.HTTPResponse:
    connection.request("GET", target, headers=headers)
    answer = connection.getresponse()
    answer.read()
    return answer


def renewed(certificates: Path, target: Path) -> bytes:
    """A second certificate of the same authority, into the files in use; itself, as it is shown."""
    names = "subjectAltName=IP:127.0.0.1"
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc"]
    made += ["-subj", "/CN=renewed", "-CA", str(certificates / "ca.pem"), "-CAkey", str(certificates / "ca.key")]
    made += ["-addext", names, "-addext", "basicConstraints=critical,CA:FALSE", "-days", "2"]
    made += ["-keyout", str(target / "key.pem"), "-out", str(target / "certificate.pem")]
    subprocess.run(made, check=True, capture_output=True)
    return ssl.PEM_cert_to_DER_cert((target / "certificate.pem").read_text())


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1")  # asked for on purpose
def test_the_service_speaks_tls_and_takes_a_renewed_certificate(tmp_path: Path, certificates: Path) -> None:
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    shutil.copy(certificates / "server.crt", certificate)
    shutil.copy(certificates / "server.key", key)
    files = {"tls_certificate": str(certificate), "tls_key": str(key)}
    service = ServiceProcess(tmp_path / "data", log_format="json", **files).start()
    try:
        context = trusting(certificates)
        first = served(service.port, context)
        connection = http.client.HTTPSConnection("127.0.0.1", service.port, timeout=30, context=context)
        cookie = asked(connection, f"/?token={service.token}").headers["Set-Cookie"]
        assert {"Secure", "HttpOnly", "SameSite=strict"} <= set(cookie.split("; "))
        session = cookie.partition(";")[0]
        assert asked(connection, "/api/v1/jobs", Cookie=session).status == 200
        origin = {"Cookie": session, "Origin": f"https://127.0.0.1:{service.port}"}
        address = f"wss://127.0.0.1:{service.port}/api/v1/streams/{a_stream(service, connection)}/follow"
        with connect(address, ssl=context, additional_headers=origin, proxy=None) as follower:
            assert json.loads(follower.recv(30))["lines"][0]["text"] == "one"
            refuses_older_tls_and_plain_http(service.port, certificates)

            # Renewed: new connections have it, those there go on.
            second = renewed(certificates, tmp_path)
            service.process.send_signal(signal.SIGHUP)
            wait_until(lambda: "certificate_read_again" in service.logged())
            assert served(service.port, context) == second != first
            assert asked(connection, "/api/v1/jobs", Cookie=session).status == 200
            # A renewal that went wrong changes nothing.
            key.write_text("no key")
            service.process.send_signal(signal.SIGHUP)
            wait_until(lambda: "certificate_not_read" in service.logged())
            assert served(service.port, context) == second
            sent(service, connection, b"two\n", offset=4)
            while "two" not in str(follower.recv(30)):
                pass
        connection.close()
    finally:
        service.stop()
    events = [json.loads(line) for line in service.logged().splitlines()]
    assert events[0]["tls"] is True
    assert [event["event"] for event in events] == [
        "serving",
        "certificate_read_again",
        "certificate_not_read",
        "stopped",
    ]


def a_stream(service: ServiceProcess, connection: http.client.HTTPSConnection) -> int:
    return int(sent(service, connection, b"one\n", offset=0)["stream"])


def sent(
    service: ServiceProcess, connection: http.client.HTTPSConnection, data: bytes, *, offset: int
) -> dict[str, int]:
    name = f"job=tls&task=worker-0&path=modelarts-job-tls-worker-0.log&generation=0&offset={offset}"
    connection.request("POST", f"/api/v1/chunks?{name}", data, {"Authorization": f"Bearer {service.token}"})
    held: dict[str, int] = json.loads(connection.getresponse().read())
    return held


def refuses_older_tls_and_plain_http(port: int, certificates: Path) -> None:
    old = trusting(certificates)
    old.minimum_version = ssl.TLSVersion.TLSv1
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")  # else the client itself would not try
    with pytest.raises((ssl.SSLError, ConnectionError)):
        served(port, old)
    plain = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    with pytest.raises((http.client.HTTPException, ConnectionError)):
        plain.request("GET", "/healthz")
        plain.getresponse()
    plain.close()


def test_files_that_cannot_be_are_told_of(tmp_path: Path, certificates: Path) -> None:
    encrypted, empty = tmp_path / "encrypted.key", tmp_path / "empty.pem"
    command = ["openssl", "ec", "-aes256", "-passout", "pass:1234", "-out", str(encrypted)]
    subprocess.run([*command, "-in", str(certificates / "server.key")], check=True, capture_output=True)
    empty.touch()
    server, key = certificates / "server.crt", certificates / "server.key"
    none = tmp_path / "none"
    for certificate, its_key, told in (
        (none, key, f"The file {none} of tls_certificate cannot be read: No such file or directory."),
        (server, none, f"The file {none} of tls_key cannot be read: No such file or directory."),
        (server, certificates / "ca.key", "tls_certificate and tls_key do not belong together."),
        (server, encrypted, "The key of tls_key is encrypted: a service has nobody to ask for its password."),
        (server, None, "tls_certificate is not a certificate and its key in PEM"),
        (empty, key, "tls_certificate and tls_key are not a certificate and its key in PEM"),
    ):
        [mistake] = read(tls_certificate=certificate, tls_key=its_key).mistakes
        assert mistake.startswith(told), mistake
    assert read(tls_certificate=certificates / "server.pem").mistakes == []


def test_cookies_are_secure_where_browsers_come_by_tls(certificates: Path) -> None:
    """`public_url` says how they come, where something stands in front."""
    pem = certificates / "server.pem"
    assert Settings(tls_certificate=pem).https
    assert not Settings(tls_certificate=pem, public_url="http://logs.example.com").https
    assert Settings(public_url="https://logs.example.com").https
    assert not Settings().https
