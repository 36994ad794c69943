"""What is switched on goes wrong, as often and where it was asked for, and nowhere else."""

from __future__ import annotations

import httpx
import pytest

from lora_tui.sandbox import Sandbox
from tests.sandbox.client import Client


def status(client: Client, path: str = "datasets", method: str = "GET") -> int:
    return client.rest(method, path).status_code


def received_before_the_break(client: Client, url: str) -> int:
    received = 0
    try:
        with client.http.stream("GET", url) as answer:
            for piece in answer.iter_raw():
                received += len(piece)
    except httpx.RemoteProtocolError:
        return received
    raise AssertionError("the download did not break off")


def test_the_next_requests_fail_and_then_it_works_again(sandbox: Sandbox, user: Client) -> None:
    sandbox.faults(fail_next=2, status=502, retry_after=3)
    answers = [user.rest("GET", "datasets") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [502, 502, 200]
    assert answers[0].headers["retry-after"] == "3"


def test_a_fault_can_be_for_some_paths_and_methods_only(sandbox: Sandbox, user: Client) -> None:
    sandbox.faults(path="/rest/v1/datasets", method="GET", fail_next=-1)
    assert [status(user), status(user)] == [503, 503]
    assert status(user, "training_jobs") == 200
    assert status(user, method="HEAD") == 200
    sandbox.clear_faults()
    assert status(user) == 200


def test_an_error_rate_fails_about_that_share_of_requests(sandbox: Sandbox, user: Client) -> None:
    sandbox.faults(error_rate=0.5)
    statuses = [status(user, method="HEAD") for _ in range(40)]
    assert 5 < statuses.count(503) < 35


def test_an_unknown_setting_is_named(sandbox: Sandbox) -> None:
    with pytest.raises(ValueError, match="no setting latencies"):
        sandbox.faults(latencies=1)


def test_too_many_requests_get_429_with_retry_after(sandbox: Sandbox, user: Client) -> None:
    sandbox.faults(rate_limit={"requests": 3, "seconds": 600})
    answers = [user.rest("GET", "datasets") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert 1 <= int(answers[3].headers["retry-after"]) <= 600


def test_a_download_breaks_off_after_so_many_bytes(sandbox: Sandbox, user: Client) -> None:
    url = user.sign(user.newest())
    sandbox.faults(path="/storage", drop_after=100_000, drop_next=2)
    for _ in range(2):
        assert received_before_the_break(user, url) == 100_000
    assert user.http.get(url).status_code == 200
    assert [entry["dropped"] for entry in sandbox.requests()[-3:]] == [True, True, False]


def test_an_answer_can_be_lost_although_the_work_was_done(
    sandbox: Sandbox, service: Client
) -> None:
    sandbox.faults(path="/rest/v1/datasets", drop_after=0)
    row = {"user_id": sandbox.user_id, "name": "Made, but nobody was told"}
    with pytest.raises(httpx.RemoteProtocolError):
        service.rest("POST", "datasets", json=row)
    assert len(service.rows("datasets?name=like.Made*")) == 1


def test_a_throttled_download_is_complete(sandbox: Sandbox, user: Client) -> None:
    url = user.sign(user.newest())
    size = int(user.http.head(url).headers["content-length"])
    sandbox.faults(path="/storage", throttle=200_000_000)
    assert len(user.http.get(url).content) == size


def test_stopping_cuts_a_slow_download(sandbox: Sandbox, user: Client) -> None:
    url = user.sign(user.newest())
    sandbox.faults(path="/storage", throttle=20_000)
    with user.http.stream("GET", url) as answer:
        pieces = answer.iter_raw()
        assert next(pieces)
        sandbox.stop()
        with pytest.raises(httpx.TransportError):
            for _ in pieces:
                pass


def test_a_server_can_ignore_range(sandbox: Sandbox, user: Client) -> None:
    url = user.sign(user.newest())
    sandbox.faults(ignore_range=True)
    assert user.http.get(url, headers={"Range": "bytes=5-"}).status_code == 200


def test_an_object_can_change_during_a_download(sandbox: Sandbox, user: Client) -> None:
    url = user.sign(user.newest())
    before = user.http.get(url)
    sandbox.faults(change_file_midway=True)
    during = user.http.get(url)
    after = user.http.get(url)
    assert during.content == before.content
    assert len(after.content) == len(before.content)
    assert after.content != before.content
    assert after.headers["etag"] != before.headers["etag"]


def test_one_bit_can_be_wrong_once(sandbox: Sandbox, user: Client) -> None:
    url = user.sign(user.newest())
    good = user.http.get(url).content
    sandbox.faults(flip_bit=1, flip_at=4321)
    bad = user.http.get(url).content
    assert [index for index in range(len(good)) if good[index] != bad[index]] == [4321]
    assert user.http.get(url).content == good


def test_a_file_can_have_a_wrong_length(sandbox: Sandbox, user: Client) -> None:
    url = user.sign(user.newest())
    size = len(user.http.get(url).content)
    sandbox.faults(wrong_length=10)
    answer = user.http.get(url)
    assert len(answer.content) == int(answer.headers["content-length"]) == size - 10


def test_latency_delays_requests_and_the_log_lists_them(sandbox: Sandbox, user: Client) -> None:
    sandbox.faults(latency=0.01)
    status(user, "datasets?select=id")
    last = sandbox.requests()[-1]
    assert (last["method"], last["path"], last["status"]) == ("GET", "/rest/v1/datasets", 200)
    assert (last["query"], last["apikey"], last["bearer"]) == ("select=id", "anon", "user")
    sandbox.forget_requests()
    assert sandbox.requests() == []


def test_a_chunked_answer_breaks_off_without_its_last_chunk(sandbox: Sandbox, user: Client) -> None:
    sandbox.faults(path="/rest/v1/datasets", chunked=1, drop_after=5)
    with pytest.raises(httpx.RemoteProtocolError, match="incomplete chunked read"):
        user.rest("GET", "datasets")
    assert "content-length" in user.rest("GET", "datasets").headers


def test_an_answer_is_compressed_though_nobody_asked(sandbox: Sandbox, user: Client) -> None:
    plain = user.rest("GET", "datasets", headers={"Accept-Encoding": "identity"})
    sandbox.faults(compressed=1)
    zipped = user.rest("GET", "datasets", headers={"Accept-Encoding": "identity"})
    assert zipped.headers["content-encoding"] == "gzip"
    assert zipped.json() == plain.json()


def test_floods_of_interim_answers_and_of_headers(sandbox: Sandbox, user: Client) -> None:
    sandbox.faults(interim_answers=3, header_lines=20)
    headers = user.rest("GET", "datasets").headers
    assert sum(name.startswith("x-flood-") for name in headers) == 20


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("html", "<!doctype html>"),
        ("PGRST303", '{"code": "PGRST303"'),
        ("57014", '{"code": "57014"'),
        ("null", "null"),
        ("list", "[]"),
        ("no output", '{"id": "datasets", "status": "COMPLETED", "output": null}'),
    ],
)
def test_the_body_of_an_error_can_be_chosen(
    sandbox: Sandbox, user: Client, kind: str, expected: str
) -> None:
    sandbox.faults(fail_next=1, status=401, answer_with=kind)
    answer = user.rest("GET", "datasets")
    assert answer.status_code == 401
    assert answer.text.startswith(expected)


def test_each_page_of_a_table_is_the_first_one_again(sandbox: Sandbox, user: Client) -> None:
    query = "training_jobs?select=id&order=id&limit=2"

    def page(offset: int) -> object:
        return user.rest("GET", f"{query}&offset={offset}").json()

    assert page(0) != page(2)
    sandbox.faults(repeat_page=True)
    assert page(0) == page(2)
    sandbox.clear_faults()
    assert page(0) != page(2)


def test_counts_can_be_wrong_or_time_out(sandbox: Sandbox, user: Client) -> None:
    def counted() -> httpx.Response:
        return user.rest("HEAD", "datasets", headers={"Prefer": "count=exact"})

    total = int(counted().headers["content-range"].rpartition("/")[2])
    sandbox.faults(count_off=3, count_times_out=1)
    assert counted().status_code == 500
    assert counted().headers["content-range"].endswith(f"/{total + 3}")
    assert user.rest("GET", "datasets").status_code == 200


def test_names_can_hold_a_lone_surrogate(sandbox: Sandbox, user: Client) -> None:
    sandbox.faults(lone_surrogates=1)
    rows = user.rest("GET", "datasets?select=id,name").json()
    assert all(row["name"].startswith("\ud800") for row in rows)
    assert not any(
        row["name"].startswith("\ud800")
        for row in user.rest("GET", "datasets?select=id,name").json()
    )


def test_a_trickle_ends_when_it_is_switched_off(sandbox: Sandbox, user: Client) -> None:
    sandbox.faults(trickle=60)
    with user.http.stream("GET", "/rest/v1/datasets", headers=user.headers) as answer:
        pieces = answer.iter_raw()
        assert len(next(pieces)) <= 2
        sandbox.clear_faults()
        assert len(b"".join(pieces)) > 10
