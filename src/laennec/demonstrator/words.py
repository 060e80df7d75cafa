"""What the demonstration page says, in English and French."""

from __future__ import annotations

from laennec.wording import Text, tell

NOTICE = Text(
    en="Research use only. Not a medical device.",
    fr="Réservé à la recherche. Ceci n’est pas un dispositif médical.",
)
WORDS: dict[str, Text] = {
    "title": Text(en="Read a chest radiograph", fr="Lire une radiographie thoracique"),
    "file": tell(
        "Drop a radiograph here, or click: JPEG, PNG or DICOM",
        "Déposez une radiographie ici, ou cliquez : JPEG, PNG ou DICOM",
    ),
    "privacy": Text(
        en="The file is read by this computer and deleted at once; its picture is forgotten after ten minutes.",
        fr="Le fichier est lu par cet ordinateur, puis effacé aussitôt. Son image est oubliée au bout de dix minutes.",
    ),
    "model": Text(en="Model", fr="Modèle"),
    "rule": Text(en="Operating point", fr="Seuil de décision"),
    "balanced": Text(en="balanced", fr="équilibre"),
    "rule_out": Text(en="rule out (few missed)", fr="exclusion (peu de cas manqués)"),
    "rule_in": Text(en="rule in (few false alarms)", fr="confirmation (peu de fausses alertes)"),
    "layers": Text(en="Laid over the picture", fr="Superposer à l’image"),
    "map": Text(en="where the model looks", fr="où le modèle regarde"),
    "lungs": Text(en="outline of the lungs", fr="contour des poumons"),
    "chances": Text(en="Probability of each label", fr="Probabilité de chaque étiquette"),
    "scores": Text(en="Score of each label (not calibrated)", fr="Score de chaque étiquette (non calibré)"),
    "language": Text(en="Language", fr="Langue"),
    "nothing": Text(
        en="Drop a radiograph, and the answer appears here.",
        fr="Déposez une radiographie\u00a0: la réponse s’affiche ici.",
    ),
    "no_picture": Text(en="No picture yet", fr="Pas encore d’image"),
    "picture": Text(en="The radiograph as it was read", fr="La radiographie telle qu’elle a été lue"),
    "refused": Text(en="Not read", fr="Non lue"),
    "unanswered": Text(en="No answer", fr="Sans réponse"),
    "outlined": Text(en="Lungs outlined", fr="Poumons tracés"),
    "not_outlined": Text(en="No lungs outlined", fr="Aucun poumon tracé"),
    "refer": Text(en="A person should decide", fr="À une personne de décider"),
    "below": Text(
        en="Negative means below this threshold; it rules nothing else out.",
        fr="Négatif veut dire sous ce seuil\u202f; rien d’autre n’est exclu pour autant.",
    ),
    "looks": Text(
        en="The colours show where the model looks, not why, and no disease.",
        fr="Les couleurs montrent où le modèle regarde, ni pourquoi, ni une maladie.",
    ),
    "legend": Text(
        en="Blue: the patient’s right lung. Orange: the left.",
        fr="En bleu\u00a0: le poumon droit du patient. En orange\u00a0: le gauche.",
    ),
    "mirrored": Text(
        en="Shown mirrored, as it is hung: the patient’s right lies on the left.",
        fr="Affichée en miroir, comme on l’accroche\u00a0: la droite du patient est à gauche.",
    ),
    "no_lungs": Text(en="No lungs were outlined.", fr="Aucun poumon n’a été tracé."),
    "unlike": Text(
        en="The picture is unlike those the model learned from.",
        fr="L’image ne ressemble pas à celles dont le modèle a appris.",
    ),
    "unsure_none": Text(
        en="The model is not sure: its answer fits no label well enough.",
        fr="Le modèle n’est pas sûr\u00a0: sa réponse ne soutient assez aucune étiquette.",
    ),
}

_AGAIN = Text(en="Export it again from where it came from.", fr="Exportez-la de nouveau depuis sa source.")
_KINDS = Text(en="Take a JPEG, a PNG or a DICOM file.", fr="Prenez un fichier JPEG, PNG ou DICOM.")
_FRONTAL = Text(en="Take a frontal view of the chest.", fr="Prenez une incidence de face du thorax.")
_SMALLER = Text(en="Export it smaller, as a single picture.", fr="Exportez-la plus petite, en une seule image.")
_OPERATOR = Text(en="Tell whoever started this page.", fr="Prévenez la personne qui a lancé cette page.")

# Why a file was not read or is doubted, and how to mend it, by the code of `laennec.errors.ImageError`.
REFUSALS: dict[str, tuple[Text, Text]] = {
    "empty": (Text(en="The file is empty.", fr="Le fichier est vide."), _AGAIN),
    "not_found": (Text(en="The file did not arrive.", fr="Le fichier n’est pas arrivé."), _AGAIN),
    "unsupported_type": (
        Text(en="This is no JPEG, PNG or DICOM file.", fr="Ce n’est pas un fichier JPEG, PNG ou DICOM."),
        _KINDS,
    ),
    "corrupt_image": (
        Text(en="The file is damaged or cut short.", fr="Le fichier est endommagé ou incomplet."),
        _AGAIN,
    ),
    "too_large": (Text(en="The picture is too large.", fr="L’image est trop grande."), _SMALLER),
    "no_pixels": (
        Text(en="This DICOM file holds no picture.", fr="Ce fichier DICOM ne contient pas d’image."),
        Text(en="Take the file with the image.", fr="Prenez le fichier qui porte l’image."),
    ),
    "many_frames": (
        Text(en="This file holds several frames.", fr="Ce fichier contient plusieurs vues."),
        Text(en="Take a single radiograph.", fr="Prenez une seule radiographie."),
    ),
    "unknown_syntax": (
        Text(
            en="This DICOM file is compressed in a way that cannot be read here.",
            fr="Ce fichier DICOM est compressé d’une façon qui ne peut pas être lue ici.",
        ),
        Text(en="Export it uncompressed.", fr="Exportez-le sans compression."),
    ),
    "missing_extra": (
        Text(
            en="What reads compressed DICOM files is not installed here.",
            fr="Ce qui lit les fichiers DICOM compressés n’est pas installé ici.",
        ),
        _OPERATOR,
    ),
    "not_radiograph": (
        Text(
            en="This is no radiograph, but of another modality.",
            fr="Ce n’est pas une radiographie, mais une autre modalité.",
        ),
        _FRONTAL,
    ),
    "blank": (Text(en="The picture is blank.", fr="L’image est vide."), _AGAIN),
    "timeout": (Text(en="Reading it took too long.", fr="Sa lecture a pris trop de temps."), _AGAIN),
    "decoder_died": (Text(en="It could not be decoded.", fr="Elle n’a pas pu être décodée."), _AGAIN),
    "not_chest": (
        Text(
            en="This does not look like a chest radiograph.",
            fr="Cela ne ressemble pas à une radiographie thoracique.",
        ),
        _FRONTAL,
    ),
    "lateral": (
        Text(
            en="Its header says that this is a lateral view.", fr="D’après son en-tête, c’est une incidence de profil."
        ),
        _FRONTAL,
    ),
    "inverted": (
        Text(
            en="Its greys seem inverted: bones dark, air white.",
            fr="Ses gris semblent inversés\u00a0: os sombres, air blanc.",
        ),
        Text(en="Invert the picture.", fr="Inversez l’image."),
    ),
    "turned": (
        Text(en="The chest lies on its side or upside down.", fr="Le thorax est couché ou à l’envers."),
        Text(en="Turn the picture upright.", fr="Redressez l’image."),
    ),
    "fault": (
        Text(en="The model gave no valid answer.", fr="Le modèle n’a pas donné de réponse valable."),
        _OPERATOR,
    ),
}


def rule(name: str) -> Text:
    """An operating point by its rule."""
    return WORDS.get(name, Text(en=name, fr=name))


def refusal(code: str) -> tuple[Text, Text]:
    """What a code means, and how to mend it."""
    return REFUSALS.get(code, REFUSALS["fault"])


def headline(finding: str, positive: bool) -> Text:
    """The decision in two words."""
    if positive:
        return tell("{f}: positive", "{f} : positif", f=finding)
    return tell("{f}: negative", "{f} : négatif", f=finding)


def against(score: float, threshold: float, name: str, positive: bool, calibrated: bool) -> Text:
    """The score and the threshold it is held against."""
    en = "at or above" if positive else "below"
    fr = "égal ou supérieur" if positive else "inférieur"
    what = ("Probability", "Probabilité de") if calibrated else ("Score", "Score de")
    point = Text(en=rule(name).en.partition(" (")[0], fr=rule(name).fr.partition(" (")[0])
    return Text(
        en=tell(f"{what[0]} {{s:.3f}}, {en} the threshold of {{t:.3f}}", "", s=score, t=threshold).en
        + f" ({point.en}).",
        fr=tell("", f"{what[1]} {{s:.3f}}, {fr} au seuil de {{t:.3f}}", s=score, t=threshold).fr + f" ({point.fr}).",
    )


def possible(names: tuple[str, ...], finding: str) -> Text:
    """Which labels the model cannot tell apart here."""
    if not names:
        return WORDS["unsure_none"]
    en = ", ".join(name or f"no {finding}" for name in names)
    fr = ", ".join(name or f"absence de {finding}" for name in names)
    if len(names) == 1:
        return Text(
            en=f"At this threshold the decision is not the label the model is sure of ({en}).",
            fr=f"À ce seuil, la décision n’est pas l’étiquette dont le modèle est sûr ({fr}).",
        )
    return Text(
        en=f"The model is not sure: these remain possible: {en}.",
        fr=tell("", f"Le modèle n’est pas sûr ; restent possibles : {fr}.").fr,
    )


def areas(share: float, right: float, left: float, square: float | None) -> Text:
    """How much lung there is."""
    said = tell(
        "Lungs cover {s:.0%} of the picture (right {r:.0%}, left {g:.0%})",
        "Les poumons couvrent {s:.0%} de l’image (droit {r:.0%}, gauche {g:.0%})",
        s=share, r=right, g=left,
    )  # fmt: skip
    if square is None:
        return Text(en=said.en + ".", fr=said.fr + ".")
    more = tell(", {c:.0f} cm² on the detector.", ", soit {c:.0f} cm² sur le détecteur.", c=square)
    return Text(en=said.en + more.en, fr=said.fr + more.fr)
