"""The sentences of the page about an audit, in English and in French; part of `laennec.page.words`."""

from __future__ import annotations

AUDIT_WORDS: dict[str, tuple[str, str]] = {
    "audit.title.data": ("Audit of the data set {name}", "Audit du jeu de données {name}"),
    "audit.title.model": ("Audit of the model {name}", "Audit du modèle {name}"),
    "audit.subtitle.data": ("Split: {how} · {made}", "Répartition : {how} · {made}"),
    "audit.subtitle.model": ("{collection}, {part} part, {made}", "{collection}, partie {part}, {made}"),
    "audit.counts": (
        "<strong>{images}</strong> images · <strong>{patients}</strong> patients · checks: <strong>{checks}</strong> · "
        "looked at in {seconds} s",
        "<strong>{images}</strong> images · <strong>{patients}</strong> patients · contrôles : "
        "<strong>{checks}</strong> · examinés en {seconds} s",
    ),
    # What a verdict is called, alone and of several checks
    "audit.verdict.pass": ("Nothing found", "Rien à signaler"),
    "audit.verdict.note": ("For information", "Pour information"),
    "audit.verdict.skipped": ("Not examined", "Non examiné"),
    "audit.verdict.warn": ("Caution", "Prudence"),
    "audit.verdict.fail": ("Must be fixed", "À corriger"),
    "audit.means.pass": ("looked for and not found", "recherché, et non trouvé"),
    "audit.means.note": ("nothing to judge; worth reading", "rien à juger ; à lire tout de même"),
    "audit.means.skipped": (
        "it could not be examined; the reason is given",
        "n’a pas pu être examiné ; la raison est donnée",
    ),
    "audit.means.warn": (
        "found; to be kept in mind with every figure",
        "trouvé ; à garder à l’esprit devant chaque résultat",
    ),
    "audit.means.fail": (
        "figures made on this cannot be defended until it is fixed",
        "tant que ce n’est pas corrigé, aucun résultat obtenu ainsi n’est défendable",
    ),
    "audit.of_checks": ("of {n}", "sur {n}"),
    "audit.verdicts": ("What the verdicts mean", "Ce que veulent dire les verdicts"),
    # In short
    "audit.short": ("In short", "En bref"),
    "audit.lead.fail.data": (
        "<strong>{n}</strong> of {of} checks found something that must be fixed before a figure made on these data "
        "can be defended: {titles}.",
        "<strong>{n}</strong> contrôles sur {of} ont trouvé un défaut à corriger avant de pouvoir défendre un résultat "
        "obtenu sur ces données : {titles}.",
    ),
    "audit.lead.fail.model": (
        "<strong>{n}</strong> of {of} checks found something that must be fixed before this model’s figures can be "
        "defended: {titles}.",
        "<strong>{n}</strong> contrôles sur {of} ont trouvé un défaut à corriger avant de pouvoir défendre les "
        "résultats de ce modèle : {titles}.",
    ),
    "audit.lead.fail_one.data": (
        "<strong>One</strong> check of {of} found something that must be fixed before a figure made on these data can "
        "be defended: {titles}.",
        "<strong>Un</strong> contrôle sur {of} a trouvé un défaut à corriger avant de pouvoir défendre un résultat "
        "obtenu sur ces données : {titles}.",
    ),
    "audit.lead.fail_one.model": (
        "<strong>One</strong> check of {of} found something that must be fixed before this model’s figures can be "
        "defended: {titles}.",
        "<strong>Un</strong> contrôle sur {of} a trouvé un défaut à corriger avant de pouvoir défendre les résultats "
        "de ce modèle : {titles}.",
    ),
    "audit.lead.warn": (
        "To be kept in mind with every figure: {titles}.",
        "À garder à l’esprit devant chaque résultat : {titles}.",
    ),
    "audit.lead.skipped": ("Could not be examined: {titles}.", "N’ont pas pu être examinés : {titles}."),
    "audit.lead.clear": (
        "No check found a fault. That proves no absence of faults: only what these checks look for was looked for.",
        "Aucun contrôle n’a trouvé de défaut. Cela ne prouve pas qu’il n’y en a aucun : seul ce que ces contrôles "
        "recherchent a été recherché.",
    ),
    "audit.lead.none": ("No check was asked for.", "Aucun contrôle n’a été demandé."),
    "audit.glance": ("The checks at a glance", "Les contrôles d’un coup d’œil"),
    "audit.used.val": (
        "Made on the validation part, on which the epoch was chosen, the thresholds were set and, where there are any, "
        "the calibration and the conformal sets were fitted: figures here flatter the model. Differences between "
        "groups and conditions can be read; levels are for the test part, once the model is frozen.",
        "Établi sur la partie de validation, qui a servi à choisir l’époque, à fixer les seuils et, s’il y en a, à "
        "ajuster la calibration et les ensembles conformes : les résultats y sont flatteurs. Les écarts entre groupes "
        "et entre conditions peuvent se lire ; les niveaux se jugent sur la partie de test, une fois le modèle figé.",
    ),
    "audit.used.train": (
        "Made on the training part: the model learned these very images, and figures here flatter it. They say nothing "
        "of how it does on images it has not seen.",
        "Établi sur la partie d’entraînement : le modèle a appris ces images mêmes, et les résultats y sont flatteurs. "
        "Ils ne disent rien de ce qu’il vaut sur des images qu’il n’a pas vues.",
    ),
    "audit.not_frozen": (
        "Made on the {part} part. A part that a finding was acted upon is no longer an untouched test.",
        "Établi sur la partie {part}. Une partie dont on a suivi les constats n’est plus un test intact.",
    ),
    # One check
    "audit.figures": ("Figures by the names programs know them by", "Mesures, sous le nom que lisent les programmes"),
    "audit.points": ("The chart’s figures ({n})", "Les valeurs du graphique ({n})"),
    "audit.points_shown": ("The chart’s figures ({shown} of {n})", "Les valeurs du graphique ({shown} sur {n})"),
    "audit.line": ("Line", "Courbe"),
    "audit.level": ("reference", "référence"),
    "audit.suspects": ("Images pointed at: {n}", "Images signalées : {n}"),
    "audit.kinds": ("By kind: {kinds}.", "Par nature : {kinds}."),
    "audit.kind_of": ("{kind} {n}", "{kind} ({n})"),
    "suspect.exact": ("exact", "mêmes octets"),
    "suspect.pixels": ("same greys", "mêmes niveaux de gris"),
    "suspect.near": ("near", "presque identique"),
    "suspect.patient": ("patient in two parts", "patient dans deux parties"),
    "suspect.none": ("no patient", "sans patient"),
    "suspect.person": ("key of several patients", "identifiant de plusieurs patients"),
    "suspect.label": ("doubtful label", "étiquette douteuse"),
    "suspect.marker": ("mark of a label", "marque liée à une classe"),
    "suspect.source": ("mark of a source", "marque liée à une source"),
    "suspect.unreadable": ("unreadable", "illisible"),
    "suspect.blank": ("blank", "vide"),
    "suspect.tiny": ("tiny", "minuscule"),
    "suspect.lateral": ("lateral", "de profil"),
    "suspect.inverted": ("inverted", "gris inversés"),
    "suspect.turned": ("turned", "tournée"),
    "suspect.not_chest": ("not a chest", "pas un thorax"),
    "suspect.cropped": ("cropped", "tronquée"),
    "suspect.text": ("text", "texte incrusté"),
    "suspect.dark": ("dark", "trop sombre"),
    "suspect.bright": ("bright", "trop claire"),
    "suspect.outside": ("heat outside the lungs", "carte hors des poumons"),
    "suspect.corner": ("corner", "coin"),
    "audit.all_suspects": ("List of the images ({shown} of {n})", "Liste des images ({shown} sur {n})"),
    "audit.more_suspects": (
        "{n} more stand in suspects.csv beside this page.",
        "{n} autres figurent dans le fichier suspects.csv, à côté de cette page.",
    ),
    "audit.kind": ("Kind", "Nature"),
    "audit.beside": ("Held against", "Comparée à"),
    "audit.why": ("Why", "Pourquoi"),
    "audit.more_beside": ("and {n} more", "et {n} autres"),
    "audit.alt": ("Radiograph {id}: {why}", "Radiographie {id} : {why}"),
    "audit.alt_beside": ("Radiograph {id}, held against {first}", "Radiographie {id}, comparée à {first}"),
    "audit.how": ("How it was examined", "Comment cela a été examiné"),
    "audit.took": ("{seconds} s", "{seconds} s"),
    "audit.seconds": ("Time, decoding included", "Durée, décodage compris"),
    "audit.positive": ("The finding", "L’anomalie"),
    "digest.audited": ("Digest of the bundle", "Empreinte du modèle"),
}
