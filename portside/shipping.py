"""From the tree to an image that hosts can have: build, push, or use one that is there."""

from __future__ import annotations

from portside.command import run_command
from portside.config import Config, Environment
from portside.errors import BuildError
from portside.image.build import BuildSpec, BuiltImage, build_image, inspect_image, read_source
from portside.image.pushed import pushed_before
from portside.image.reference import content_tag, parse_reference
from portside.image.registry import QUESTION_SECONDS, push_image
from portside.image.tags import prune_tags
from portside.release import Image
from portside.report import Reporter, timed
from portside.scan.gate import bind, refuse_failed
from portside.signing import sign_pushed

HERE = "this machine"


async def build(config: Config, reporter: Reporter, platform: str | None = None) -> BuiltImage:
    """Build the service's image into the local Engine. Raises BuildError."""
    settings = config.build
    spec = BuildSpec(
        context=config.root / settings.context,
        dockerfile=config.root / settings.dockerfile,
        name=config.service.name,
        builder=config.images.builder,
        runtime=config.images.runtime,
        ca_bundle=config.root / settings.ca_bundle if settings.ca_bundle else None,
        build_args=settings.args,
        platform=platform,
    )
    source = await read_source(spec.context)
    with timed(reporter, HERE, "build"):
        image = await build_image(spec, revision=source.revision, version=source.revision[:12], say=reporter.say)
        await prune_tags(spec.name)
    return image


async def push(image: BuiltImage, environment: Environment, reporter: Reporter) -> str:
    """Push to the environment's registry; `name@sha256:…`. Raises BuildError."""
    with timed(reporter, HERE, "push"):
        target = _target(image, environment)
        try:
            reference = await push_image(image.reference, target, say=reporter.say)
        except BuildError:
            # A registry whose tags can't change refuses one that it has, even for the same image.
            reference = await _known_there(target, image)
            if not reference:
                raise
            reporter.say(f"{target} was pushed before")
        await prune_tags(environment.registry)
    return reference


async def shipped(config: Config, environment: Environment, reporter: Reporter, *, image: str | None) -> Image:
    """The image for a release: built from the tree, or the local or registry image called `image`.

    With a registry it is pushed, and hosts know it by its digest. Raises BuildError, ScanError for an image that
    failed its scan, SignatureError for one that could not be signed.
    """
    built = await _chosen(config, environment, reporter, image)
    if isinstance(built, Image):
        return built
    known = _as_release_has_it(built)
    await refuse_failed(config, environment, known)
    reference = await push(built, environment, reporter)
    await bind(config, known, reference, reporter.say)
    await sign_pushed(config, environment, reference, reporter.say)
    return known.model_copy(update={"reference": reference, "id": ""})


async def planned(config: Config, environment: Environment, reporter: Reporter, *, image: str | None) -> Image:
    """The image that `shipped` would give, with nothing pushed or signed. Raises BuildError.

    One that the registry doesn't have yet is called by the tag it would get.
    """
    built = await _chosen(config, environment, reporter, image)
    if isinstance(built, Image):
        return built
    target = _target(built, environment)
    reference = await _known_there(target, built) or target
    return _as_release_has_it(built).model_copy(update={"reference": reference, "id": ""})


async def _chosen(
    config: Config, environment: Environment, reporter: Reporter, image: str | None
) -> BuiltImage | Image:
    """The image on this machine that has yet to be pushed; as a release has it where there is nothing to push."""
    if image is None:
        built = await build(config, reporter, environment.platform)
    # Before a program sees it: what begins with a dash would be an option.
    elif parse_reference(image).digest:
        return Image(reference=image)
    else:
        built = await inspect_image(image)
    return await _pinned(_as_release_has_it(built)) if environment.registry == "none" else built


def _as_release_has_it(built: BuiltImage) -> Image:
    return Image(reference=built.reference, id=built.id, size=built.size, architecture=built.architecture)


def _target(image: BuiltImage, environment: Environment) -> str:
    return f"{environment.registry}:{parse_reference(image.reference).tag}"


async def _known_there(target: str, image: BuiltImage) -> str:
    """What the registry calls it, where it says so."""
    try:
        return await pushed_before(target, image.id)
    except BuildError:
        return ""


async def _pinned(image: Image) -> Image:
    """The image under a name that stays its own: what `latest` means tomorrow is no release of today."""
    if image.named_by_content:
        return image
    reference = f"{parse_reference(image.reference).name}:{content_tag(image.id)}"
    tagged = await run_command(["docker", "tag", image.id, reference], timeout=QUESTION_SECONDS)
    tagged.check(f"{image.reference} can't be given the name {reference}")
    return image.model_copy(update={"reference": reference})
