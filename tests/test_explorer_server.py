"""The explorer's server answers to this machine only, and the page it serves needs nothing from elsewhere."""

import http.client
import json
import re
import subprocess
import sys
import threading
import urllib.request
from contextlib import closing

import pytest

from distil_theory.__main__ import main
from distil_theory.explorer import presets, server


@pytest.fixture(scope="module")
def port():
    listening = server.serve()
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    yield listening.server_address[1]
    listening.shutdown()
    listening.server_close()


def reply(port, method, path, body=None, **headers):
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer, answer.read().decode()


def test_the_page_and_its_files_are_served(port):
    for file in server.PAGE.iterdir():
        answer, text = reply(port, "GET", "/" if file.name == "index.html" else f"/{file.name}")
        assert answer.status == 200
        assert text == file.read_text(encoding="utf-8")
        assert answer.headers["Content-Type"].startswith(server.TYPES[file.suffix])
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'self'")


def test_the_page_names_no_other_address():
    for file in server.PAGE.iterdir():
        text = file.read_text(encoding="utf-8").replace('"http://www.w3.org/2000/svg"', "")
        assert not re.search(r"https?:|//[a-z]+\.[a-z]|@import|url\(", text), file.name


@pytest.mark.parametrize("path", ["/nothing", "/../server.py", "/page/index.html", "/server.py"])
def test_nothing_else_is_served(port, path):
    assert reply(port, "GET", path)[0].status == 404


def test_a_look_is_answered(port):
    request = {"preset": "risky_fork", **presets.settings("risky_fork")._asdict(), "end": "1"}
    answer, text = reply(port, "POST", "/api/look", json.dumps(request))
    assert answer.status == 200
    assert json.loads(text)["rate"]["exact"] == "-59/200"
    names = [preset["name"] for preset in json.loads(reply(port, "GET", "/api/presets")[1])]
    assert set(presets.BY_NAME) < set(names)


BAD = [
    ("/api/look", "{}", 200, "there is no preset"),
    ("/api/export", '{"preset": "risky_fork"}', 200, "unknown divergence"),
    ("/api/look", "[]", 500, "no object"),
    ("/api/look", "{", 500, "JSONDecodeError"),
    ("/api/look", '{"preset": "risky_fork", "rows": {"student:0,0": [{}, 1]}}', 200, "write a number"),
    ("/api/look", "x" * (server.LARGEST + 1), 413, "too long"),
    ("/api/nothing", "{}", 404, "there is no"),
]


@pytest.mark.parametrize(("path", "body", "status", "words"), BAD)
def test_a_bad_request_is_told_what_is_wrong(port, path, body, status, words):
    answer, text = reply(port, "POST", path, body)
    assert answer.status == status
    assert any(words in said for said in json.loads(text)["faults"].values())


@pytest.mark.parametrize(("method", "path"), [("GET", "/"), ("GET", "/api/presets"), ("POST", "/api/look")])
def test_a_foreign_name_for_this_machine_gets_nothing(port, method, path):
    answer, text = reply(port, method, path, Host=f"evil.example:{port}")
    assert answer.status == 403
    assert "localhost only" in text


def test_the_command_prints_its_address_and_serves(tmp_path):
    command = [sys.executable, "-m", "distil_theory", "explore", "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        address = re.search(r"http://\S+", running.stdout.readline())[0]
        with urllib.request.urlopen(address, timeout=60) as page:
            assert b"What does this step do" in page.read()
        running.terminate()


def test_a_port_that_is_taken_is_said(port, capsys):
    assert main(["explore", "--no-browser", "--port", str(port)]) == 2
    assert f"port {port} cannot be used" in capsys.readouterr().out
