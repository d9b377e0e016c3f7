"""Damaged files of a store are detected, moved to quarantine and reported; only intact files are read."""

import dataclasses
import io
import json
import os
import shutil
import threading

import numpy as np
import pytest
from stored_runs import SERIES, SPEC, checkpoint, record

from rlclaims.execution.verify import problems
from rlclaims.store.files import DamagedError, read_json, sha256
from rlclaims.store.run_spec import RunSpec
from rlclaims.store.store import Store, folder_name
from rlclaims.studies.registry import Study

TWINS = Study("twins")

OTHER = dataclasses.replace(SPEC, seed=6)
LANDSCAPES = Study("landscapes")
STUDIED = {"a/own/b": [float("nan")]}


def put(store, spec):
    made = dataclasses.replace(record(checkpoints=[checkpoint(spec.seed - 5)]), seed=spec.seed)
    made.policy_parameters = [theta + spec.seed for theta in made.policy_parameters]
    store.put(spec, made)


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "store")
    store.prepare()
    for spec in (SPEC, OTHER):
        put(store, spec)
        for study in (TWINS, LANDSCAPES):
            store.put_study(spec, study, None, STUDIED)
    return store


KINDS = {
    "run.json": lambda store, spec: store.folder(spec) / "run.json",
    "run.safetensors": lambda store, spec: store.folder(spec) / "run.safetensors",
    "starts.safetensors": lambda store, spec: store.folder(spec) / "starts.safetensors",
    "measured": lambda store, spec: store.measurements(spec),
    "twins": lambda store, spec: store.study_file(spec, TWINS),
    "landscapes": lambda store, spec: store.study_file(spec, LANDSCAPES),
}


def flipped(path, _):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def replaced_by(make):
    def damage(path, other):
        path.unlink()
        make(path, other)

    return damage


def resealed(body):
    """A file that somebody else made, with a checksum as ours have."""
    return b'{\n "sha256": "%s",' % sha256(body).encode() + body[1:]


PICKLE = b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x0etouch executed\x85R."
OBJECTS = io.BytesIO()
np.save(OBJECTS, np.array([{}], object), allow_pickle=True)
DAMAGES = {
    "truncated": lambda path, _: path.write_bytes(path.read_bytes()[:-1]),
    "halved": lambda path, _: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "a bit flipped": flipped,
    "emptied": lambda path, _: path.write_bytes(b""),
    "another run's": lambda path, other: shutil.copy(other, path),
    "a pickle": lambda path, _: path.write_bytes(PICKLE),
    "an array of objects": lambda path, _: path.write_bytes(OBJECTS.getvalue()),
    "deep JSON": lambda path, _: path.write_bytes(b"[" * 200_000),
    "deep JSON with a checksum": lambda path, _: path.write_bytes(resealed(b"{" + b'"a":[' + b"[" * 200_000)),
    "JSON of a class": lambda path, _: path.write_bytes(resealed(b'{"__class__": "os.system", "series": "x"}')),
    "a monstrous header": lambda path, _: path.write_bytes(b"\xff" * 7 + b"\x7f{}"),
    "a folder": replaced_by(lambda path, _: path.mkdir()),
    "a link to nowhere": replaced_by(lambda path, _: path.symlink_to("/nowhere")),
    "a link to another run's": replaced_by(lambda path, other: path.symlink_to(other)),
    "a pipe": replaced_by(lambda path, _: os.mkfifo(path)),
    "a link to a device": replaced_by(lambda path, _: path.symlink_to("/dev/zero")),
    "a link to itself": replaced_by(lambda path, _: path.symlink_to(path)),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize("kind", KINDS)
def test_damaged_file_is_quarantined_and_only_it_is_regenerated(store, tmp_path, monkeypatch, kind, damage):
    monkeypatch.chdir(tmp_path)
    found, path = KINDS[kind], KINDS[kind](store, SPEC)
    before = {p: p.read_bytes() for p in store.folder(SPEC).iterdir()}
    damage(path, found(store, OTHER))
    told = []
    store.notify = told.append
    study = {"twins": TWINS, "landscapes": LANDSCAPES}.get(kind)
    if study is not None:
        assert not store.has_study(SPEC, study)
    else:
        assert store.has(SPEC) is (kind != "measured")
        assert store.is_whole(SPEC) is (kind == "measured")
    assert any(path.name in problem or "run.json" in problem for problem in problems(store))
    store.clear(SPEC, study)
    (sentence,) = told
    then = "its run is trained again" if study is None else "it is computed again"
    assert sentence.startswith(f"{path} is damaged (") and sentence.endswith(f", and {then}.")
    assert not os.path.lexists(path) and len(list((store.root / "quarantine").iterdir())) == 1
    if study is None:
        put(store, SPEC)
    else:
        store.put_study(SPEC, study, None, STUDIED)
    assert {p: p.read_bytes() for p in store.folder(SPEC).iterdir()} == before
    assert told == [sentence] and list(problems(store)) == []
    assert store.has(OTHER) and store.is_whole(OTHER) and not (tmp_path / "executed").exists()


@pytest.mark.parametrize("place", ["file", "link", "folder of another run"])
def test_unusable_run_folder_is_quarantined_not_written_through(store, tmp_path, place):
    folder, outside = store.folder(SPEC), tmp_path / "outside"
    outside.mkdir()
    shutil.rmtree(folder)
    if place == "file":
        folder.write_text("")
    elif place == "link":
        folder.symlink_to(outside)
    else:
        shutil.copytree(store.folder(OTHER), folder)
    assert not store.has(SPEC) and not store.is_whole(SPEC)
    put(store, SPEC)
    assert store.has(SPEC) and store.is_whole(SPEC) and list(outside.iterdir()) == []
    assert list((store.root / "quarantine").iterdir())


@pytest.mark.parametrize("damage", ["a pipe", "a folder", "another run's"])
def test_damaged_run_without_description_is_quarantined(store, damage):
    path = store.folder(SPEC) / "run.safetensors"
    (store.folder(SPEC) / "run.json").unlink()
    DAMAGES[damage](path, store.folder(OTHER) / path.name)
    put(store, SPEC)
    assert store.has(SPEC) and store.is_whole(SPEC) and len(list((store.root / "quarantine").iterdir())) == 1


def test_file_of_another_kind_of_the_run_is_rejected(store):
    shutil.copy(store.study_file(SPEC, TWINS), store.study_file(SPEC, LANDSCAPES))
    assert store.has_study(SPEC, TWINS) and not store.has_study(SPEC, LANDSCAPES)
    shutil.copy(store.study_file(SPEC, TWINS), store.measurements(SPEC))
    assert not store.has(SPEC)


def test_checksum_covers_how_a_run_ended(store):
    path = store.measurements(SPEC)
    path.write_text(path.read_text().replace('"failure": null', '"failure": "it"'))
    assert not store.has(SPEC)


def test_file_of_an_earlier_format_is_rejected(store):
    path = store.measurements(SPEC)
    path.write_text(json.dumps({"format": 1, "failure": None, "sha256": "0" * 64, "series": SERIES}))
    assert not store.has(SPEC)
    with pytest.raises(DamagedError, match="its checksum differs"):
        read_json(path)


def test_quarantine_overwrites_nothing(store):
    for _ in range(3):
        store.measurements(SPEC).write_text("no")
        put(store, SPEC)
    names = sorted(path.name for path in (store.root / "quarantine").iterdir())
    assert names == [f"{store.folder(SPEC).name}-{store.measurements(SPEC).name}-{n}" for n in (1, 2, 3)]


def test_concurrent_writers_of_one_run_leave_one_whole(tmp_path):
    for n in range(10):
        store = Store(tmp_path / str(n))
        store.prepare()
        together, failed = threading.Barrier(3), []

        def one(store=store, together=together, failed=failed):
            together.wait()
            try:
                put(store, SPEC)
            except BaseException as error:
                failed.append(error)

        threads = [threading.Thread(target=one) for _ in range(3)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        assert failed == [] and store.has(SPEC) and store.is_whole(SPEC)
        assert len(list((store.root / "runs").iterdir())) == 1 and not (store.root / "quarantine").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads and writes everything")
@pytest.mark.parametrize("kind", KINDS)
def test_unreadable_file_is_quarantined(store, kind):
    path = KINDS[kind](store, SPEC)
    path.chmod(0)
    store.clear(SPEC, {"twins": TWINS, "landscapes": LANDSCAPES}.get(kind))
    assert not path.exists() and list((store.root / "quarantine").iterdir())


NAMES = ["../../up", "/etc/passwd", "..", ".hidden", "a\0b", "ö" * 300, "\u202egnp.exe", "ＰＰＯ", "a/b\\c", "-rf", ""]


@pytest.mark.parametrize("name", NAMES)
def test_run_folder_is_always_inside_the_store(store, name):
    for spec in (
        RunSpec(type(name.replace("\0", "") or "x", (type(SPEC.algorithm),), {})(), "Hopper-v5", 2, 5),
        dataclasses.replace(SPEC, task=name),
    ):
        folder = folder_name(spec, "f" * 64)
        assert folder.isascii() and len(folder) <= 133 and not folder.startswith((".", "-"))
        assert (store.root / "runs" / folder).resolve().parent == (store.root / "runs").resolve()
