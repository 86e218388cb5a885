"""Fetching from the stand-in host: each way in which a host can fail, and what is on the disk afterwards."""

import errno
import gzip
import hashlib
import io
import os
import random
import ssl
import subprocess
import sys
import tarfile
import threading
from importlib.util import find_spec
from pathlib import Path

import pytest
from ftp_server import FtpServer
from official_server import (
    BadRange,
    Drop,
    Html,
    NoLength,
    NoRanges,
    OfficialServer,
    Redirect,
    Slow,
    Stall,
    Status,
    Truncate,
    Wrong,
)

from vitret.core.errors import DataError, MachineError, UserError
from vitret.core.store import read_json
from vitret.data.fetch.download import fetch
from vitret.data.fetch.fetched import discard, find
from vitret.data.fetch.patience import Patience
from vitret.data.fetch.remote_file import RemoteFile

BODY = random.Random(3).randbytes(300_000)
SHA256 = hashlib.sha256(BODY).hexdigest()
MD5 = hashlib.md5(BODY).hexdigest()
QUICK = Patience(attempts=4, first=0.001, longest=0.01, timeout=2.0)


def remote(*urls: str, name: str = "a.bin", known: bool = True, **more) -> RemoteFile:
    if known:
        more = {"sha256": SHA256, "size": len(BODY), "hash_source": "publisher"} | more
    return RemoteFile(name=name, urls=urls, **more)


def get(file: RemoteFile, folder: Path, **more):
    (fetched,) = fetch([file], folder, patience=more.pop("patience", QUICK), **more)
    assert fetched.path.read_bytes() == BODY
    assert (fetched.size, fetched.sha256) == (len(BODY), SHA256)
    assert not list(folder.rglob("*.part*"))
    return fetched


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(
    "faults",
    [
        [],
        [Drop(0)],
        [Drop(70_000), Drop(70_000), Drop(70_000)],
        [NoRanges(), Drop(1000), NoRanges()],
        [Drop(100_000), NoRanges()],
        [Drop(100_000), BadRange()],
        [Status(503), Status(500), Status(429, retry_after="0")],
        [Redirect("host/moved.bin")],
        [Html()],
        [Drop(5), Stall(100, seconds=3.0)],
        [Slow(chunk=8192, pause=0.0)],
    ],
    ids=str,
)
def test_a_failing_host_gives_the_right_bytes_in_the_end(official_server, tmp_path, faults, known):
    official_server.put("host/moved.bin", BODY)
    url = official_server.put("host/a.bin", BODY)
    for fault in faults:
        official_server.fault("host/a.bin", fault)
    patience = Patience(attempts=4, first=0.001, longest=0.01, timeout=0.5)
    fetched = get(remote(url, known=known), tmp_path, patience=patience)
    assert fetched.hash_source == ("publisher" if known else "first use")
    assert read_json(tmp_path / "a.bin.fetched.json")["sha256"] == SHA256
    assert all(request.agent.startswith("vitret/") for request in official_server.requests)


def test_a_broken_connection_continues_where_it_stopped(official_server, tmp_path):
    url = official_server.put("host/a.bin", BODY)
    official_server.fault("host/a.bin", Drop(100_000))
    get(remote(url), tmp_path)
    assert [request.range for request in official_server.requests] == [None, "bytes=100000-"]


def test_a_new_run_continues_where_the_last_stopped(official_server, tmp_path):
    url = official_server.put("host/a.bin", BODY)
    official_server.fault("host/a.bin", Drop(100_000))
    official_server.fault("host/a.bin", Status(404))
    with pytest.raises(DataError, match="100,000 bytes so far are kept"):
        fetch([remote(url, known=False)], tmp_path, patience=QUICK)
    get(remote(url, known=False), tmp_path)
    assert official_server.requests[-1].range == "bytes=100000-"


def test_a_file_that_changed_meanwhile_is_started_again(official_server, tmp_path):
    url = official_server.put("host/a.bin", bytes(len(BODY)))
    official_server.fault("host/a.bin", Drop(100_000))
    official_server.fault("host/a.bin", Status(404))
    with pytest.raises(DataError):
        fetch([remote(url, known=False)], tmp_path, patience=QUICK)
    official_server.put("host/a.bin", BODY)
    get(remote(url, known=False), tmp_path)


def test_mirrors_are_asked_in_order(official_server, tmp_path):
    first, second = official_server.url("one/a.bin"), official_server.put("two/a.bin", BODY)
    fetched = get(remote(first, second, official_server.url("three/a.bin")), tmp_path)
    assert fetched.url == second
    assert [request.path for request in official_server.requests] == ["one/a.bin", "two/a.bin"]


def test_a_mirror_continues_with_what_the_other_gave_when_the_hash_is_known(official_server, tmp_path):
    first, second = official_server.put("one/a.bin", BODY), official_server.put("two/a.bin", BODY)
    official_server.fault("one/a.bin", Drop(100_000))
    official_server.fault("one/a.bin", Status(404))
    get(remote(first, second), tmp_path)
    assert official_server.requests[-1].range == "bytes=100000-"


def test_without_a_known_hash_two_hosts_are_never_mixed(official_server, tmp_path):
    first, second = official_server.put("one/a.bin", bytes(200_000)), official_server.put("two/a.bin", BODY)
    official_server.fault("one/a.bin", Drop(100_000))
    official_server.fault("one/a.bin", Status(404))
    get(remote(first, second, known=False), tmp_path)
    assert official_server.requests[-1].range is None


def test_wrong_bytes_are_never_accepted(official_server, tmp_path):
    url = official_server.put("host/a.bin", BODY)
    official_server.fault("host/a.bin", Wrong(12_345), times=None)
    with pytest.raises(DataError, match=f"sha256 is .*{SHA256} expected"):
        fetch([remote(url)], tmp_path, patience=QUICK)
    assert not (tmp_path / "a.bin").exists()
    official_server.heal()
    get(remote(url), tmp_path)


def test_md5_alone_is_enough_and_is_checked(official_server, tmp_path):
    url = official_server.put("host/a.bin", BODY)
    official_server.fault("host/a.bin", Wrong(1))
    file = RemoteFile(name="a.bin", urls=(url,), md5=MD5.upper(), hash_source="publisher")
    assert get(file, tmp_path).md5 == MD5
    assert len(official_server.requests) == 2


@pytest.mark.parametrize(
    ("fault", "word"),
    [
        (Status(404), "not there"),
        (Status(403), "permission"),
        (Html(), "web page"),
        (Status(503), "answers 503; 4 attempts"),
        (Truncate(1000), "1,000 bytes there"),
        (Redirect("host/a.bin"), "leads nowhere"),
        (Stall(0, seconds=3), "no bytes for"),
    ],
    ids=str,
)
def test_a_dead_source_says_why_and_what_to_do(official_server, tmp_path, fault, word):
    url = official_server.put("host/a.bin", BODY)
    official_server.fault("host/a.bin", fault, times=None)
    patience = Patience(attempts=4, first=0.001, longest=0.01, timeout=0.1)
    with pytest.raises(DataError, match=word) as caught:
        fetch([remote(url)], tmp_path, patience=patience)
    assert "by hand" in str(caught.value)
    assert len(official_server.requests) <= 21  # httpx follows twenty redirects


def test_a_gated_source_says_what_its_card_says(tmp_path):
    with pytest.raises(DataError, match="Sign the agreement"):
        fetch([RemoteFile(name="img.zip", by_hand="Sign the agreement, then …")], tmp_path, patience=QUICK)


def test_an_unreachable_host_is_a_data_error(tmp_path):
    with pytest.raises(DataError, match="ConnectError"):
        fetch([remote("http://127.0.0.1:9/a.bin")], tmp_path, patience=QUICK)


def test_a_file_of_unknown_length_needs_a_known_hash(official_server, tmp_path):
    url = official_server.put("host/a.bin", BODY)
    official_server.fault("host/a.bin", NoLength(), times=None)
    with pytest.raises(DataError, match="how long the file is"):
        fetch([remote(url, known=False)], tmp_path, patience=QUICK)
    get(remote(url, size=None), tmp_path)


@pytest.mark.parametrize("name", ["a.tar", "a.tgz"])
def test_a_cut_archive_without_a_known_hash_is_not_a_first_use(official_server, tmp_path, name):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        info = tarfile.TarInfo("a.jpg")
        info.size = len(BODY)
        tar.addfile(info, io.BytesIO(BODY))
    data = made.getvalue() if name == "a.tar" else gzip.compress(made.getvalue())
    url = official_server.put(f"host/{name}", data)
    official_server.fault(f"host/{name}", Truncate(len(data) // 2), times=2)
    with pytest.raises(DataError, match="not a whole archive"):
        fetch([RemoteFile(name=name, urls=(url,))], tmp_path, patience=QUICK)
    (fetched,) = fetch([RemoteFile(name=name, urls=(url,))], tmp_path, patience=QUICK)
    assert fetched.path.read_bytes() == data


def test_later_bytes_must_be_those_of_the_first_use(official_server, tmp_path):
    url = official_server.put("host/a.bin", BODY)
    get(remote(url, known=False), tmp_path)
    (tmp_path / "a.bin").unlink()
    official_server.put("host/a.bin", BODY[::-1])
    with pytest.raises(DataError, match="not the bytes of the first fetch"):
        fetch([remote(url, known=False)], tmp_path, patience=QUICK)
    official_server.put("host/a.bin", BODY)
    get(remote(url, known=False), tmp_path)


def test_what_is_there_is_not_asked_for_again(official_server, tmp_path):
    url = official_server.put("host/a.bin", BODY)
    get(remote(url), tmp_path)
    get(remote(url), tmp_path)
    assert len(official_server.requests) == 1


def test_a_file_damaged_after_its_fetch_is_fetched_again(official_server, tmp_path):
    url = official_server.put("host/a.bin", BODY)
    get(remote(url, known=False), tmp_path)
    (tmp_path / "a.bin").write_bytes(BODY[:-1])
    get(remote(url, known=False), tmp_path)


def test_a_file_put_there_by_hand_is_taken_if_it_is_right(tmp_path):
    (tmp_path / "a.bin").write_bytes(BODY)
    assert find(remote(), tmp_path).sha256 == SHA256
    assert [path.name for path in tmp_path.glob("a.bin*")] == ["a.bin"]  # Looking writes nothing.
    assert get(remote(), tmp_path).url is None
    (tmp_path / "b.bin").write_bytes(b"other")
    with pytest.raises(DataError, match="5 bytes, 300,000 expected"):
        find(remote(name="b.bin"), tmp_path)


def test_discard_forgets_the_file_and_its_record(official_server, tmp_path):
    url = official_server.put("host/a.bin", BODY[::-1])
    fetch([remote(url, known=False)], tmp_path, patience=QUICK)
    discard(tmp_path / "a.bin")
    official_server.put("host/a.bin", BODY)
    get(remote(url, known=False), tmp_path)


def test_many_files_one_bad(official_server, tmp_path):
    files = [remote(official_server.put(f"host/{n}", BODY), name=f"sub/{n}.bin") for n in range(6)]
    official_server.fault("host/3", Status(404))
    seen = []
    with pytest.raises(DataError, match=r"sub/3\.bin: cannot be fetched"):
        fetch(files, tmp_path, patience=QUICK, progress=lambda *what: seen.append(what))
    assert sorted(p.name for p in (tmp_path / "sub").glob("*.bin")) == [f"{n}.bin" for n in (0, 1, 2, 4, 5)]
    assert ("sub/5.bin", len(BODY), len(BODY)) in seen
    assert [f.path.name for f in fetch(files, tmp_path, patience=QUICK)] == [f"{n}.bin" for n in range(6)]


@pytest.mark.parametrize("digest", [MD5, SHA256.upper()])
def test_a_list_of_hashes_is_fetched_first_and_holds(official_server, tmp_path, digest):
    url = official_server.put("host/a.bin", BODY)
    lines = f"{'0' * 32} http://host/other.bin\n{digest}  https://old.host/data/a.bin\n"
    listed = remote(url, known=False, hash_url=official_server.put("host/checksums.txt", lines.encode()))
    assert get(listed, tmp_path).hash_source == "publisher"
    assert [request.path for request in official_server.requests] == ["host/checksums.txt", "host/a.bin"]
    assert get(listed, tmp_path).hash_source == "publisher"
    assert len(official_server.requests) == 2
    # The list may grow until the next time.
    official_server.put("host/checksums.txt", lines.encode() + b"more\n")
    for path in tmp_path.glob("a.bin*"):
        if not path.name.endswith(".fetched.json"):
            path.unlink()
    get(listed, tmp_path)


def test_a_file_that_its_publishers_list_does_not_confirm_is_not_taken(official_server, tmp_path):
    url = official_server.put("host/a.bin", BODY)
    for lines, said in (
        (f"{'0' * 32} {url}", "md5 is"),
        (f"{MD5} http://host/b.bin", "gives no one md5 or sha256 of a.bin"),
        (f"{MD5} {url}\n{'0' * 32} {url}", "gives no one"),
        (f"{'0' * 40} {url}", "gives no one"),
    ):
        listed = official_server.put("host/checksums.txt", lines.encode())
        with pytest.raises(DataError, match=said):
            fetch([remote(url, known=False, hash_url=listed)], tmp_path, patience=QUICK)
        assert not (tmp_path / "a.bin").exists()
    official_server.put("host/checksums.txt", f"{MD5} {url}".encode())
    get(remote(url, known=False, hash_url=listed), tmp_path)


def test_mirror_stands_in_for_every_host(official_server, tmp_path, monkeypatch):
    official_server.put("www.example.org/data/a.bin", BODY)
    file = remote("https://www.example.org/data/a.bin", "ftp://www.example.org/data/a.bin")
    for number, address in enumerate((official_server.mirror, f"{official_server.mirror}/")):
        monkeypatch.setenv("VITRET_MIRROR", address)
        get(file, tmp_path / str(number))


def test_proxies_come_from_the_environment(official_server, tmp_path, monkeypatch):
    official_server.put("a.bin", BODY)
    monkeypatch.setenv("HTTP_PROXY", official_server.mirror)
    get(remote("http://nowhere.invalid/a.bin"), tmp_path)


def test_an_own_certificate_authority_comes_from_the_environment(tmp_path, monkeypatch):
    openssl = "/usr/bin/openssl"
    if not Path(openssl).exists():
        pytest.skip("needs openssl")
    make = "req -x509 -newkey rsa:2048 -nodes -keyout k.pem -out c.pem -days 2 -subj /CN=lab"
    make += " -addext subjectAltName=IP:127.0.0.1"
    subprocess.run([openssl, *make.split()], cwd=tmp_path, check=True, capture_output=True)
    with OfficialServer() as server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tmp_path / "c.pem", tmp_path / "k.pem")
        server.put("a.bin", BODY)
        server._server.socket = context.wrap_socket(server._server.socket, server_side=True)
        url = server.url("a.bin").replace("http:", "https:")
        with pytest.raises(DataError, match="SSL_CERT_FILE"):
            fetch([remote(url)], tmp_path / "out", patience=QUICK)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "c.pem"))
        get(remote(url), tmp_path / "out")


@pytest.mark.parametrize("known", [True, False])
def test_ftp_is_resumed_too(tmp_path, known):
    (tmp_path / "pub").mkdir()
    (tmp_path / "pub" / "a.bin").write_bytes(BODY)
    with FtpServer(tmp_path / "pub") as server:
        server.drop_after = 100_000
        get(remote(server.url("a.bin"), known=known), tmp_path / "out")
        assert "REST 100000" in server.commands
        with pytest.raises(DataError, match="550"):
            fetch([remote(server.url("none"), name="b")], tmp_path / "out", patience=QUICK)


@pytest.mark.parametrize("restarts", ["no", "late"])
@pytest.mark.parametrize("known", [True, False])
def test_ftp_without_restart_begins_again(tmp_path, known, restarts):
    (tmp_path / "pub").mkdir()
    (tmp_path / "pub" / "a.bin").write_bytes(BODY)
    with FtpServer(tmp_path / "pub") as server:
        server.drop_after, server.restarts = 100_000, restarts
        get(remote(server.url("a.bin"), known=known), tmp_path / "out")
        assert "REST 100000" in server.commands


def test_an_ftp_failure_behind_a_proxy_says_that_ftp_goes_past_it(tmp_path, monkeypatch):
    file = remote("ftp://127.0.0.1:9/a.bin")
    with pytest.raises(DataError) as alone:
        fetch([file], tmp_path, patience=QUICK)
    assert "proxy" not in str(alone.value)
    monkeypatch.setenv("https_proxy", "http://me:secret@proxy.lab:3128")
    with pytest.raises(DataError, match="does not go through the proxy of https_proxy") as behind:
        fetch([file], tmp_path, patience=QUICK)
    assert "secret" not in str(behind.value)


@pytest.mark.parametrize(
    ("variable", "value", "error", "said"),
    [
        ("ALL_PROXY", "socks5://127.0.0.1:1080", MachineError, r"pip install 'httpx\[socks\]'"),
        ("HTTPS_PROXY", "gopher://lab", UserError, "not the address of a proxy"),
        ("http_proxy", "http://lab:port", UserError, "not the address of a proxy"),
        ("SSL_CERT_FILE", "/no/such.pem", UserError, "not a readable file of certificates"),
        ("SSL_CERT_FILE", __file__, UserError, "not a readable file of certificates"),
    ],
)
def test_a_setting_that_cannot_be_followed_is_named(tmp_path, monkeypatch, variable, value, error, said):
    if error is MachineError and find_spec("socksio"):
        pytest.skip("has what this is about the lack of")
    monkeypatch.setenv(variable, value)
    with pytest.raises(error, match=said) as raised:
        fetch([remote("http://127.0.0.1:9/a.bin")], tmp_path, patience=QUICK)
    assert str(raised.value).startswith(variable)


def test_two_at_once_fetch_once(official_server, tmp_path):
    url = official_server.put("host/a.bin", BODY)
    official_server.fault("host/a.bin", Slow(chunk=30_000, pause=0.02))
    script = "import sys; from pathlib import Path; from vitret.data.fetch.download import *; " + (
        f"fetch([RemoteFile(name='a.bin', urls=('{url}',), sha256='{SHA256}')], Path(sys.argv[1]))"
    )
    runs = [subprocess.Popen([sys.executable, "-c", script, str(tmp_path)]) for _ in range(2)]
    assert [run.wait(60) for run in runs] == [0, 0]
    assert len(official_server.requests) == 1
    get(remote(url), tmp_path)


def test_a_full_disk_stops_with_what_came_kept(official_server, tmp_path, monkeypatch):
    url = official_server.put("host/a.bin", BODY)
    real, room = os.fsync, threading.Event()

    def fsync(handle):
        if not room.is_set():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(handle)

    monkeypatch.setattr("vitret.data.fetch.partial_file.os.fsync", fsync)
    with pytest.raises(MachineError, match="No space left"):
        fetch([remote(url)], tmp_path, patience=QUICK)
    room.set()
    get(remote(url), tmp_path)


def test_a_disk_that_is_too_small_is_seen_before_the_first_byte(official_server, tmp_path, monkeypatch):
    url = official_server.put("host/a.bin", BODY)
    monkeypatch.setattr("vitret.core.store.shutil.disk_usage", lambda _: type("U", (), {"free": 1000})())
    with pytest.raises(MachineError, match="GB free"):
        fetch([remote(url)], tmp_path, patience=QUICK)


@pytest.mark.parametrize("name", ["/etc/a", "../a", "", "a\\b"])
def test_a_name_outside_the_folder_is_refused(name):
    with pytest.raises(UserError):
        RemoteFile(name=name)
