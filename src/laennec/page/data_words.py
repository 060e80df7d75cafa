"""The sentences of the page about a data set, in English and in French, laid out as in `laennec.page.words`."""

from __future__ import annotations

DATA_WORDS: dict[str, tuple[str, str]] = {
    "data.title": ("Data set {collection}", "Jeu de données {collection}"),
    "data.subtitle": (
        "{images} radiographs of {patients} patients, {labels} labels, {made}",
        "{images} radiographies de {patients} patients, {labels} classes, {made}",
    ),
    "data.images": ("Radiographs", "Radiographies"),
    "data.patients": ("Patients", "Patients"),
    "data.per_patient": ("Images of one patient", "Images par patient"),
    "data.median_most": ("median; the most is {most}", "médiane ; au plus {most}"),
    "data.imbalance": ("Imbalance", "Déséquilibre"),
    "data.imbalance_of": ("{largest} to {smallest}", "{largest} pour {smallest}"),
    "data.of_parts": ("{train} train · {val} val · {test} test", "{train} entr. · {val} valid. · {test} test"),
    "data.part.all": ("All", "Tout"),
    "data.part.train": ("Training", "Entraînement"),
    "data.part.val": ("Validation", "Validation"),
    "data.part.test": ("Test", "Test"),
    "data.no_label": ("(no label)", "(aucune classe)"),
    "data.other_values": ("(others)", "(autres)"),
    # Counts
    "data.counts": ("What is in each part", "Ce que contient chaque partie"),
    "data.counts_text": (
        "No patient is in two parts. Percentages are shares of the part’s images.",
        "Aucun patient ne figure dans deux parties. Les pourcentages sont des parts des images de la partie.",
    ),
    "data.may_hold_together": (
        "Labels can hold together here: a row may sum to more than its images, and is shown label by label.",
        "Ici, plusieurs classes peuvent être présentes à la fois : une ligne peut dépasser le nombre de ses images.",
    ),
    "data.bar": ("{part}: {counts}", "{part} : {counts}"),
    "data.n_patients": ("{n} patients", "{n} patients"),
    "data.ratio": ("Commonest to rarest", "Plus fréquente sur plus rare"),
    "data.ratio_value": ("{ratio} : 1", "{ratio} : 1"),
    "data.unknown": ("Unknown: {n}", "Inconnu : {n}"),
    # What stands out
    "data.stands_out": ("What stands out", "Ce qui frappe"),
    "data.hint.imbalance": (
        "<strong>{largest}</strong> is {ratio} times as frequent as <strong>{smallest}</strong>: accuracy alone will "
        "flatter a model that always answers {largest}.",
        "<strong>{largest}</strong> est {ratio} fois plus fréquente que <strong>{smallest}</strong> : l’exactitude "
        "seule flattera un modèle qui répond toujours {largest}.",
    ),
    "data.hint.moved": (
        "The share of <strong>{label}</strong> is {train} in training and {part_share} in the {part} part: "
        "predictive values will move with it.",
        "La part de <strong>{label}</strong> est de {train} à l’entraînement et de {part_share} dans la partie {part} "
        ": les valeurs prédictives changeront avec elle.",
    ),
    "data.hint.brightness.less": (
        "<strong>{label}</strong> is darker in the {part} part than in training, by {effect} standard deviations "
        "(95 % interval {interval}).",
        "<strong>{label}</strong> est plus sombre dans la partie {part} qu’à l’entraînement, de {effect} écarts-types "
        "(intervalle à 95 % : {interval}).",
    ),
    "data.hint.brightness.more": (
        "<strong>{label}</strong> is brighter in the {part} part than in training, by {effect} standard deviations "
        "(95 % interval {interval}).",
        "<strong>{label}</strong> est plus claire dans la partie {part} qu’à l’entraînement, de {effect} écarts-types "
        "(intervalle à 95 % : {interval}).",
    ),
    "data.hint.contrast.less": (
        "<strong>{label}</strong> has less contrast in the {part} part than in training, by {effect} standard "
        "deviations (95 % interval {interval}).",
        "<strong>{label}</strong> est moins contrastée dans la partie {part} qu’à l’entraînement, de {effect} "
        "écarts-types (intervalle à 95 % : {interval}).",
    ),
    "data.hint.contrast.more": (
        "<strong>{label}</strong> has more contrast in the {part} part than in training, by {effect} standard "
        "deviations (95 % interval {interval}).",
        "<strong>{label}</strong> est plus contrastée dans la partie {part} qu’à l’entraînement, de {effect} "
        "écarts-types (intervalle à 95 % : {interval}).",
    ),
    "data.hint.gives_away": (
        "All {n} images with {fact} <strong>{value}</strong> are <strong>{label}</strong>: a model may learn the "
        "{fact} instead of the finding.",
        "Les {n} images avec {fact} <strong>{value}</strong> sont toutes <strong>{label}</strong> : un modèle peut "
        "apprendre cela au lieu de l’anomalie.",
    ),
    "data.hint.refused": (
        "<strong>{n}</strong> of the {opened} images opened cannot be read; the list is below.",
        "<strong>{n}</strong> des {opened} images ouvertes ne peuvent être lues ; la liste est plus bas.",
    ),
    "data.hint.several": (
        "Patients have up to {most} images: a split by image would leak; this one is by patient.",
        "Un patient a jusqu’à {most} images : répartir par image ferait fuir l’information ; ici on répartit par "
        "patient.",
    ),
    # Pictures
    "data.pictures": ("What they look like", "À quoi elles ressemblent"),
    "data.pictures_text": (
        "From the training part alone, drawn with seed {seed}, no two of one patient.",
        "De la partie d’entraînement seule, tirées avec la graine {seed}, jamais deux d’un même patient.",
    ),
    "data.picture_alt": ("Training radiograph {id}, {label}", "Radiographie d’entraînement {id}, {label}"),
    # Grey levels
    "data.grey": ("Grey levels", "Niveaux de gris"),
    "data.grey_text": (
        "0 is black, 255 white. Measured on at most {most} images of each label and part ({opened} opened in all, "
        "seed {seed}), each scaled to {side} × {side} pixels as a model would see it. Thin line: 1st to 99th "
        "percentile of the pixels. Thick bar: mean of the images, one standard deviation between images either side.",
        "0 est noir, 255 blanc. Mesuré sur au plus {most} images par classe et par partie ({opened} ouvertes en tout, "
        "graine {seed}), ramenées à {side} × {side} pixels comme un modèle les verrait. Trait fin : du 1ᵉʳ au 99ᵉ "
        "centile des pixels. Barre épaisse : moyenne des images, un écart-type entre images de part et d’autre.",
    ),
    "data.grey_bar": (
        "{label}, {part}: mean {mean}, 1st percentile {low}, 99th {high}",
        "{label}, {part} : moyenne {mean}, 1ᵉʳ centile {low}, 99ᵉ {high}",
    ),
    "data.opened": ("Opened", "Ouvertes"),
    "data.mean": ("Mean", "Moyenne"),
    "data.between": ("Between images (SD)", "Entre images (é.-t.)"),
    "data.contrast": ("Inside an image (SD)", "Dans une image (é.-t.)"),
    "data.p1": ("1st pct.", "1ᵉʳ centile"),
    "data.p99": ("99th pct.", "99ᵉ centile"),
    "data.size": ("Median size", "Taille médiane"),
    "data.shift": ("Does a label look alike in every part?", "Une classe se ressemble-t-elle dans chaque partie ?"),
    "data.shift_text": (
        "Brightness (an image’s mean) and contrast (the deviation inside it) against the training part, in standard "
        "deviations between images (Cohen’s d): 0.2 small, 0.5 medium, 0.8 large. "
        "A large shift means that validation inside train will promise more than test keeps. "
        "Intervals take images as independent and are a little too narrow.",
        "Luminosité (moyenne d’une image) et contraste (écart-type à l’intérieur) face à la partie d’entraînement, en "
        "écarts-types entre images (d de Cohen) : 0,2 faible, 0,5 moyen, 0,8 fort. "
        "Un fort décalage veut dire que la validation promettra plus que le test ne tiendra. "
        "Les intervalles supposent les images indépendantes et sont un peu trop étroits.",
    ),
    "data.of.brightness": ("brightness", "luminosité"),
    "data.of.contrast": ("contrast", "contraste"),
    "data.difference": ("Difference (grey levels)", "Écart (niveaux de gris)"),
    "data.effect": ("Standard deviations", "Écarts-types"),
    "data.reading": ("Reading", "Lecture"),
    "data.strength.none": ("none seen", "aucun décelé"),
    "data.strength.small": ("small", "faible"),
    "data.strength.medium": ("medium", "moyen"),
    "data.strength.large": ("large", "fort"),
    # Files
    "data.files": ("Files", "Fichiers"),
    "data.files_text": (
        "Sizes as stored, of the {n} images opened and read. Sizes that differ: {sizes}.",
        "Tailles telles qu’enregistrées, des {n} images ouvertes et lues. Tailles distinctes : {sizes}.",
    ),
    "data.smallest": ("Smallest", "Minimum"),
    "data.median": ("Median", "Médiane"),
    "data.largest": ("Largest", "Maximum"),
    "data.width": ("Width (pixels)", "Largeur (pixels)"),
    "data.height": ("Height (pixels)", "Hauteur (pixels)"),
    "data.aspect": ("Width over height", "Largeur sur hauteur"),
    "data.commonest": ("Commonest sizes", "Tailles les plus fréquentes"),
    "data.formats": ("Formats", "Formats"),
    "data.format.grey": ("{format}, {bits} bits, grey", "{format}, {bits} bits, gris"),
    "data.format.colour": ("{format}, {bits} bits, stored as colour", "{format}, {bits} bits, enregistré en couleur"),
    # Facts
    "data.facts": ("Views, sources, sexes", "Incidences, sources, sexes"),
    "data.facts_text": (
        "Where one value goes with one label, a model can answer by it and never look at the lungs.",
        "Quand une valeur va avec une seule classe, un modèle peut s’y fier sans jamais regarder les poumons.",
    ),
    "data.fact.view": ("view", "incidence"),
    "data.fact.source": ("source", "source"),
    "data.fact.sex": ("sex", "sexe"),
    "data.known": (
        "Known for {known} of {asked} images.",
        "Connu pour {known} images sur {asked}.",
    ),
    "data.known_sampled": (
        "Known for {known} of the {asked} images opened, from their headers.",
        "Connu pour {known} des {asked} images ouvertes, d’après leurs en-têtes.",
    ),
    "data.sex.M": ("male", "masculin"),
    "data.sex.F": ("female", "féminin"),
    "data.sex.O": ("other", "autre"),
    "data.nothing_known": (
        "The data set says neither view, nor source, nor sex.",
        "Le jeu de données ne dit ni incidence, ni source, ni sexe.",
    ),
    "data.refused_text": (
        "Images opened for the sample that could not be read: {n}. A training leaves them out.",
        "Images ouvertes pour l’échantillon qui n’ont pas pu être lues : {n}. Un entraînement les laisse de côté.",
    ),
    "data.unopened": (
        "No image was opened: sizes, grey levels and pictures come with --pixels.",
        "Aucune image n’a été ouverte : tailles, niveaux de gris et images viennent avec --pixels.",
    ),
}
