"""The stand-in behaves as it says: what the fault tests rest on."""

import http.client
import io
from ftplib import FTP
from urllib.parse import urlsplit

import pytest
from ftp_server import FtpServer
from official_server import BadRange, Drop, Html, NoRanges, OfficialServer, Redirect, Status, Wrong

BODY = bytes(range(256)) * 8


def ask(url, **headers):
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=5)
    try:
        connection.request("GET", parts.path, headers=headers)
        answer = connection.getresponse()
        return answer.status, dict(answer.headers), answer.read()
    finally:
        connection.close()


def test_whole_file_and_range(official_server: OfficialServer):
    url = official_server.put("host/a.bin", BODY)
    status, headers, body = ask(url)
    assert (status, body) == (200, BODY)
    assert ask(url, Range="bytes=100-")[::2] == (206, BODY[100:])
    assert ask(url, **{"Range": "bytes=100-", "If-Range": headers["ETag"]})[::2] == (206, BODY[100:])
    assert ask(url, **{"Range": "bytes=100-", "If-Range": '"other"'})[::2] == (200, BODY)
    assert ask(url, Range=f"bytes={len(BODY)}-")[0] == 416
    assert ask(official_server.url("host/none"))[0] == 404


def test_faults_are_used_up_in_order(official_server: OfficialServer):
    url = official_server.put("host/a.bin", BODY)
    for fault in (Status(503), Html(), Wrong(7), NoRanges(), BadRange(), Redirect("host/b.bin")):
        official_server.fault("host/a.bin", fault)
    official_server.fault("*", Drop(10))
    assert ask(url)[0] == 503
    assert ask(url)[2].startswith(b"<!DOCTYPE html")
    assert [i for i, (a, b) in enumerate(zip(ask(url)[2], BODY, strict=True)) if a != b] == [7]
    assert ask(url, Range="bytes=5-")[0] == 200
    assert ask(url, Range="bytes=5-")[1]["Content-Range"].startswith("bytes 6-")
    assert ask(url)[1]["Location"].endswith("host/b.bin")
    with pytest.raises(http.client.IncompleteRead):
        ask(url)
    assert ask(url)[2] == BODY


def test_ftp_with_rest(tmp_path):
    (tmp_path / "a.bin").write_bytes(BODY)
    with FtpServer(tmp_path) as server:
        parts = urlsplit(server.url("a.bin"))
        ftp = FTP()
        ftp.connect(parts.hostname, parts.port, timeout=5)
        ftp.login()
        ftp.voidcmd("TYPE I")
        assert ftp.size("a.bin") == len(BODY)
        out = io.BytesIO()
        ftp.retrbinary("RETR a.bin", out.write, rest=1000)
        ftp.quit()
    assert out.getvalue() == BODY[1000:]
