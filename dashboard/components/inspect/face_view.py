"""The whole photo, with the faces that were found, and maps where they lie on it."""

import io
import json
from typing import TYPE_CHECKING

from markupsafe import Markup

from dashboard.components.inspect.map_cards import Card, data_url, drawn_map, file_links, shared_top
from dashboard.components.markup import NOTHING, action, html, join
from explain import render
from models.data.images import PNG
from models.faces.boxes import FaceBox
from models.faces.crop import AUTO, OFF, FaceCrop

if TYPE_CHECKING:
    from explain.methods.live import ImageSession

SIDE = 800  # longer side of the photo


def face_view(session: "ImageSession", cards: list[Card], shared: bool, saved: str = "") -> Markup:
    """A panel: the photo with a button on each face, then a tile for each map, on the photo. `shared`: all
    maps on one scale; `saved`: the method whose files are offered. Nothing where no faces were looked for."""
    face, photo = session.face, session.photo
    if face is None or photo is None:
        return NOTHING
    top = shared_top(cards) if shared else None
    on_photo = session.place is not None
    return html(
        '<section class="vt-panel"><h2>Photo</h2><p class="vt-found">{found} {other}</p>'
        '<div class="vt-methods" style="--vt-picture:url({picture})">{boxes}{maps}</div></section>',
        found=face.described,
        other=_other(face),
        picture=render.jpeg_url(render.jpeg_bytes(photo, SIDE, 88)),
        boxes=_faces(face),
        maps=join(_map(session, c, top, saved) for c in cards if c.raw is not None) if on_photo else NOTHING,
    )


def _other(face: FaceCrop) -> Markup:
    """The button that uses the whole picture, or a face again."""
    if not face.boxes:
        return NOTHING
    if face.request.which == OFF:
        return html('<button class="vt-link" {}>use the largest face</button>', action("faces", AUTO))
    if face.region is None:
        return NOTHING
    return html('<button class="vt-link" {}>use the whole picture</button>', action("faces", OFF))


def _faces(face: FaceCrop) -> Markup:
    buttons = join(_box(face, number, box) for number, box in enumerate(face.boxes, 1))
    chosen = "the part in the dashed frame is the input of the network"
    text = chosen if face.region is not None else "the whole picture is the input of the network"
    return html(
        '<figure class="vt-tile"><figcaption class="vt-method"><b>Faces</b></figcaption>'
        '<div class="vt-stack" style="aspect-ratio:{ratio:.4f}">'
        '<div class="vt-photo" role="img" aria-label="the whole photo"></div>{crop}{buttons}</div>'
        "<figcaption>{text}{click}</figcaption></figure>",
        ratio=face.size[0] / face.size[1],
        crop=NOTHING if face.region is None else html('<i class="vt-crop" style="{}"></i>', _at(face)),
        buttons=buttons,
        text=text,
        click="; click a face to use it" if face.boxes else "",
    )


def _box(face: FaceCrop, number: int, box: FaceBox) -> Markup:
    used = face.used == number - 1
    return html(
        '<button class="vt-face" style="{at}" aria-pressed="{used}" aria-label="use face {number} of '
        '{count}" {click}><span>{number}</span></button>',
        at=placed_at((box.left, box.top, box.left + box.width, box.top + box.height), face.size),
        used="true" if used else "false",
        number=number,
        count=len(face.boxes),
        click=action("faces", number),
    )


def _at(face: FaceCrop) -> Markup:
    assert face.region is not None
    return placed_at(face.region, face.size)


def placed_at(place: tuple[float, float, float, float], size: tuple[int, int]) -> Markup:
    """Style of a box within its picture."""
    left, top, right, bottom = place
    return html(
        "left:{:.3f}%;top:{:.3f}%;width:{:.3f}%;height:{:.3f}%",
        100 * left / size[0],
        100 * top / size[1],
        100 * (right - left) / size[0],
        100 * (bottom - top) / size[1],
    )


def _map(session: "ImageSession", c: Card, top: float | None, saved: str) -> Markup:
    """A map where it lies on the photo."""
    assert session.face is not None
    assert session.place is not None
    assert c.raw is not None
    width, height = session.face.size
    return html(
        '<figure class="vt-tile"><figcaption class="vt-method"><b>{title}</b></figcaption>'
        '<div class="vt-stack" style="aspect-ratio:{ratio:.4f}">'
        '<div class="vt-photo" role="img" aria-label="the whole photo"></div>'
        '<div class="vt-place" style="{place}">{drawn}</div></div>'
        "<figcaption>on the photo</figcaption>{files}</figure>",
        title=c.title,
        ratio=width / height,
        place=placed_at(session.place, (width, height)),
        drawn=drawn_map(c, c.raw, top, 0),
        files=_files(session, c) if saved == c.method else NOTHING,
    )


def _files(session: "ImageSession", c: Card) -> Markup:
    """Links that hold the files: the map on the photo, and what was found and used."""
    assert session.face is not None
    assert session.place is not None
    assert session.photo is not None
    assert c.raw is not None
    picture, found = io.BytesIO(), io.BytesIO()
    scaled = render.normalize(c.raw)
    render.overlay_on_photo(session.photo, scaled, session.place).save(picture, **PNG)
    found.write(json.dumps(session.face.as_dict(), indent=1).encode())
    links = [
        ("photo.png", data_url("image/png", picture)),
        ("faces.json", data_url("application/json", found)),
    ]
    return file_links(c.method, links)
