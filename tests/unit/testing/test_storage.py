"""Cloud Storage: what the store of plans and outcomes relies on."""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib

import aiohttp
import pytest
from gcloud.aio.storage import Storage

from cosmos_async.testing import FakeGoogle


def status_of(error: pytest.ExceptionInfo[aiohttp.ClientResponseError]) -> int:
    """Return the HTTP status of a refusal."""
    return error.value.status


@pytest.mark.parametrize(
    "name", ["index.json", "dag/run 1/ü+{x}.json", "a%2Fb", "scheduled__2026-03-04T00:00:00+00:00/n"]
)
async def test_an_object_comes_back_as_it_went(storage: Storage, google: FakeGoogle, name: str) -> None:
    await storage.upload("plans", name, b"content")

    assert await storage.download("plans", name) == b"content"
    assert google.stored("plans") == {name: b"content"}


@pytest.mark.parametrize("way", ["media", "multipart", "resumable"])
async def test_all_ways_of_uploading_give_the_same_object(storage: Storage, way: str) -> None:
    written = await storage.upload(
        "plans",
        "a/b",
        b"x\r\n--y",
        content_type="text/plain",
        metadata={"metadata": {"version": 1}} if way == "multipart" else None,
        force_resumable_upload=way == "resumable",
    )
    read = await storage.download_metadata("plans", "a/b")

    assert await storage.download("plans", "a/b") == b"x\r\n--y"
    assert read == written
    md5 = base64.b64encode(hashlib.md5(b"x\r\n--y").digest()).decode()
    assert (read["size"], read["contentType"], read["md5Hash"]) == ("6", "text/plain", md5)
    assert read.get("metadata") == ({"version": "1"} if way == "multipart" else None)


async def test_an_upload_may_come_in_pieces_and_be_taken_up_again(
    google: FakeGoogle, session: aiohttp.ClientSession
) -> None:
    headers = {"Authorization": f"Bearer {google.tokens.issue(google.email)}"}
    begin = f"{google.endpoint}/upload/storage/v1/b/plans/o?uploadType=resumable&name=big"
    async with session.post(begin, headers=headers) as answer:
        address = answer.headers["Location"]

    async def put(content_range: str, body: bytes = b"") -> tuple[int, str | None]:
        piece = {**headers, "Content-Range": content_range}
        async with session.put(address, headers=piece, data=body) as answer:
            return answer.status, answer.headers.get("Range")

    assert await put("bytes */8") == (308, None)
    assert await put("bytes 0-3/8", b"abcd") == (308, "bytes=0-3")
    assert await put("bytes */8") == (308, "bytes=0-3")
    assert await put("bytes 2-7/8", b"CDefgh") == (200, None)
    assert google.stored("plans") == {"big": b"abCDefgh"}


async def test_a_compressed_object_arrives_decompressed(
    storage: Storage, google: FakeGoogle, session: aiohttp.ClientSession
) -> None:
    # What zipped=True does, which an older gcloud-aio-storage does not know.
    packed = gzip.compress(b"plan " * 1000)
    await storage.upload("plans", "a", packed, parameters={"contentEncoding": "gzip"})
    metadata = await storage.download_metadata("plans", "a")
    bearer = {"Authorization": f"Bearer {google.tokens.issue(google.email)}"}
    address = metadata["mediaLink"]
    async with session.get(address, headers={**bearer, "Accept-Encoding": "identity"}) as answer:
        plain = await answer.read()
        encoding = answer.headers.get("Content-Encoding")
    # Not by the client, of which older ones unpack whatever they get.
    gzipped = {**bearer, "Accept-Encoding": "gzip"}
    async with session.get(address, headers=gzipped, auto_decompress=False) as answer:
        raw = await answer.read()

    assert await storage.download("plans", "a") == plain == b"plan " * 1000
    assert raw == packed
    assert encoding is None
    assert metadata["contentEncoding"] == "gzip"
    assert metadata["size"] == str(len(raw))


async def test_only_one_of_many_creates_an_object(storage: Storage, google: FakeGoogle) -> None:
    async def create(number: int) -> int:
        try:
            await storage.upload(
                "plans", "lease", str(number).encode(), parameters={"ifGenerationMatch": "0"}
            )
        except aiohttp.ClientResponseError as error:
            return error.status
        return 200

    statuses = await asyncio.gather(*(create(number) for number in range(10)))

    assert sorted(statuses) == [200] + [412] * 9
    assert google.stored("plans")["lease"] == str(statuses.index(200)).encode()


async def test_an_object_is_replaced_only_in_the_generation_that_was_read(storage: Storage) -> None:
    first = await storage.upload("plans", "a", b"1")
    second = await storage.upload("plans", "a", b"2", parameters={"ifGenerationMatch": first["generation"]})

    with pytest.raises(aiohttp.ClientResponseError) as stale:
        await storage.upload("plans", "a", b"3", parameters={"ifGenerationMatch": first["generation"]})
    with pytest.raises(aiohttp.ClientResponseError) as stale_delete:
        await storage.delete("plans", "a", params={"ifGenerationMatch": first["generation"]})

    assert status_of(stale) == status_of(stale_delete) == 412
    assert int(second["generation"]) > int(first["generation"])
    assert await storage.download("plans", "a") == b"2"


async def test_an_old_generation_is_gone_and_a_known_one_is_not_sent_again(
    storage: Storage, google: FakeGoogle, session: aiohttp.ClientSession
) -> None:
    first = await storage.upload("plans", "a", b"1")
    second = await storage.upload("plans", "a", b"2")
    address = f"{google.endpoint}/storage/v1/b/plans/o/a?alt=media"
    headers = {"Authorization": f"Bearer {google.tokens.issue(google.email)}"}

    async def status(parameters: str) -> int:
        async with session.get(f"{address}&{parameters}", headers=headers) as answer:
            return answer.status

    assert await status(f"generation={first['generation']}") == 404
    assert await status(f"generation={second['generation']}") == 200
    assert await status(f"ifGenerationNotMatch={second['generation']}") == 304
    assert await status(f"ifGenerationNotMatch={first['generation']}") == 200


async def test_a_part_of_an_object_can_be_read(storage: Storage) -> None:
    await storage.upload("plans", "a", b"0123456789")

    assert await storage.download("plans", "a", headers={"Range": "bytes=2-4"}) == b"234"
    assert await storage.download("plans", "a", headers={"Range": "bytes=7-"}) == b"789"
    assert await storage.download("plans", "a", headers={"Range": "bytes=-2"}) == b"89"
    with pytest.raises(aiohttp.ClientResponseError) as beyond:
        await storage.download("plans", "a", headers={"Range": "bytes=10-"})
    assert status_of(beyond) == 416


async def test_a_listing_comes_in_pages_of_objects_and_folders(storage: Storage) -> None:
    for name in ("run/a/1", "run/a/2", "run/b", "run/c/1", "other"):
        await storage.upload("plans", name, b"")

    folders = await storage.list_objects("plans", params={"prefix": "run/", "delimiter": "/"})
    first = await storage.list_objects("plans", params={"prefix": "run/", "maxResults": "3"})
    rest = await storage.list_objects(
        "plans", params={"prefix": "run/", "maxResults": "3", "pageToken": first["nextPageToken"]}
    )
    nothing = await storage.list_objects("plans", params={"prefix": "absent/"})

    assert folders["prefixes"] == ["run/a/", "run/c/"]
    assert [item["name"] for item in folders["items"]] == ["run/b"]
    names = [item["name"] for item in first["items"] + rest["items"]]
    assert names == ["run/a/1", "run/a/2", "run/b", "run/c/1"]
    assert "nextPageToken" not in rest
    assert nothing == {"kind": "storage#objects"}


async def test_a_deleted_object_is_gone(storage: Storage) -> None:
    await storage.upload("plans", "a", b"1")
    await storage.delete("plans", "a")

    for call in (storage.download("plans", "a"), storage.delete("plans", "a")):
        with pytest.raises(aiohttp.ClientResponseError) as gone:
            await call
        assert status_of(gone) == 404
        assert "No such object: plans/a" in gone.value.message


async def test_an_object_is_copied_and_its_metadata_changed(storage: Storage) -> None:
    await storage.upload("plans", "a/b", b"1", content_type="text/plain")
    await storage.copy("plans", "a/b", "plans", new_name="c/d")
    before = await storage.download_metadata("plans", "c/d")

    after = await storage.patch_metadata("plans", "c/d", {"metadata": {"k": "v"}})

    assert await storage.download("plans", "c/d") == b"1"
    assert (after["metadata"], after["metageneration"]) == ({"k": "v"}, "2")
    assert after["generation"] == before["generation"]
    assert after["contentType"] == "text/plain"


async def test_a_missing_bucket_and_a_forbidden_one_say_so(storage: Storage, google: FakeGoogle) -> None:
    google.add_bucket("secret", forbidden=True)

    for bucket, status, sentence in (
        ("absent", 404, "The specified bucket does not exist."),
        ("secret", 403, "does not have storage.objects.create access"),
    ):
        with pytest.raises(aiohttp.ClientResponseError) as refused:
            await storage.upload(bucket, "a", b"1")
        assert status_of(refused) == status
        assert sentence in refused.value.message
    assert (await storage.get_bucket_metadata("plans"))["name"] == "plans"


async def test_faults_befall_storage_too(storage: Storage, google: FakeGoogle) -> None:
    await storage.upload("plans", "a", b"0123456789")
    google.truncate("objects.get")
    google.fail("objects.insert", 503)

    with pytest.raises(aiohttp.ClientPayloadError):
        await storage.download("plans", "a")
    with pytest.raises(aiohttp.ClientResponseError):
        await storage.upload("plans", "b", b"1")
    assert list(google.stored("plans")) == ["a"]


async def test_many_uploads_at_once_are_served(storage: Storage, google: FakeGoogle) -> None:
    await asyncio.gather(*(storage.upload("plans", f"n/{number}", b"x" * 1000) for number in range(300)))

    assert len(google.stored("plans")) == 300
