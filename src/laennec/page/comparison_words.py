"""The sentences of the page about a comparison, in English and in French; part of `laennec.page.words`."""

from __future__ import annotations

COMPARISON_WORDS: dict[str, tuple[str, str]] = {
    "comparison_title": ("Comparison of {n} models", "Comparaison de {n} modèles"),
    "comparison_text": (
        "{rows} models on the same {images} images of {patients} patients ({collection}, {part} part), timed and "
        "metered in one interleaved run with {threads} threads on {hardware}.",
        "{rows} modèles sur les mêmes {images} images de {patients} patients ({collection}, partie {part}), "
        "leur durée et leur énergie relevées en alternance avec {threads} fils sur {hardware}.",
    ),
    "disturbed": (
        "Another program was using this machine: the timings are unreliable. Repeat when it is idle.",
        "Un autre programme occupait cette machine : les durées ne sont pas fiables. À refaire au repos.",
    ),
    "balance": ("Quality and cost in one table", "Qualité et coût en un tableau"),
    "balance_text": (
        "FLOPs (2 × MAC): two operations for each multiply and add of one image; of an int8 model most are on "
        "integers. Time is for one image, energy for 1,000 studies in batches of {batch}, the files decoded before. "
        "Saved: energy against the first model.",
        "FLOPs (2 × MAC) : deux opérations par multiplication-addition pour une image ; d’un modèle int8, la plupart "
        "sont entières. La durée vaut pour une image, l’énergie pour 1 000 examens par lots de {batch}, fichiers déjà "
        "décodés. En moins : face au premier modèle.",
    ),
    "f1_short": ("F1", "F1"),
    "time": ("Time (ms)", "Durée (ms)"),
    "gigaflops": ("GFLOPs (2 × MAC)", "GFLOPs (2 × MAC)"),
    "nonzero": ("{n} not 0", "{n} non nuls"),
    "nonzero_column": ("Not 0", "Non nuls"),
    "letter": ("Energy letter", "Lettre d’énergie"),
    "letter_of": ("Letter {letter} on a scale from A to G", "Lettre {letter} sur une échelle de A à G"),
    "watt_hours": ("Energy, 1,000 studies (Wh)", "Énergie, 1 000 examens (Wh)"),
    "grams": ("CO₂e, 1,000 studies (g)", "CO₂e, 1 000 examens (g)"),
    "per_watt_hour": ("Accuracy per Wh", "Exactitude par Wh"),
    "saved": ("Energy saved", "Énergie en moins"),
    "grid": ("{place}, {year}", "{place}, {year}"),
    "and": ("and", "et"),
    "energy.measured": ("measured", "mesuré"),
    "energy.modelled": ("modelled", "modélisé"),
    "energy_notes": ("How each figure of energy was made", "Comment chaque chiffre d’énergie a été établi"),
    "energy_text": (
        "Measured: a counter of the hardware was read. Modelled: worked out from what ran. ± is how far off the figure "
        "may be; two modelled figures of one machine share most of that error, so their ratio is surer than either. "
        "Memory is that of the whole process, all these models in it. Not counted: decoding the files, power supply, "
        "cooling, screens, making the machines.",
        "Mesuré : un compteur du matériel a été lu. Modélisé : calculé d’après ce qui a tourné. ± dit l’erreur "
        "possible ; deux chiffres modélisés d’une même machine partagent l’essentiel de cette erreur, leur rapport "
        "est donc plus sûr que chacun. La mémoire est celle du processus entier, avec tous ces modèles. Hors du "
        "compte : décodage des fichiers, alimentation, refroidissement, écrans, fabrication des machines.",
    ),
    "grid_text": (
        "CO₂e: {intensity} g per kWh, {place} {year}, {source}; ±10 % more.",
        "CO₂e : {intensity} g par kWh, {place} {year}, {source} ; ±10 % de plus.",
    ),
    "letter_text": (
        "The letter is laennec’s own scale: A up to 0.002 Wh for 1,000 studies, each next one four times more. It "
        "orders models judged on one machine by one meter and is no label of any authority; a modelled figure’s error "
        "can move it by one.",
        "La lettre suit l’échelle propre à laennec : A jusqu’à 0,002 Wh pour 1 000 examens, chaque suivante quatre "
        "fois plus. Elle classe des modèles jugés sur une machine par un appareil de mesure et n’est l’étiquette "
        "d’aucune autorité ; l’erreur d’un chiffre modélisé peut la décaler d’un rang.",
    ),
    "no_energy": (
        "No meter could read energy on this machine.",
        "Aucun appareil n’a pu relever l’énergie sur cette machine.",
    ),
    "all_readings": ("All readings ({n})", "Tous les relevés ({n})"),
    "meter": ("Meter", "Appareil"),
    "device": ("Covers", "Ce qu’il couvre"),
    "made_how": ("How", "Comment"),
    "reading_wh": ("Wh for 1,000", "Wh pour 1 000"),
    "is_quoted": ("quoted", "retenu"),
    "quality": ("How well they decide", "Comment ils décident"),
    "quality_masks": ("How well they outline the lungs", "Comment ils tracent les poumons"),
    "quality_masks_text": (
        "Means over the images that have a mask. HD95: the smaller, the better.",
        "Moyennes sur les images qui ont un masque. HD95 : plus c’est petit, mieux c’est.",
    ),
    "speed": ("How quick and how large they are", "Vitesse et taille"),
    "paired": ("Against the first", "Face au premier"),
    "paired_text": (
        "Paired tests on the same images. A small p says the difference is more than chance; a large p does not say "
        "that the models are equal.",
        "Tests appariés sur les mêmes images. Un petit p dit que la différence dépasse le hasard ; un grand p ne dit "
        "pas que les modèles se valent.",
    ),
    "p50": ("Latency, median (ms)", "Latence médiane (ms)"),
    "p95": ("Latency, 95th (ms)", "Latence, 95ᵉ (ms)"),
    "throughput": ("Images per second", "Images par seconde"),
    "speedup": ("Speed-up", "Accélération"),
    "threshold": ("Threshold", "Seuil"),
    "auroc_delong": ("AUROC, p (DeLong)", "AUROC, p (DeLong)"),
    "decisions_mcnemar": ("Decisions, p (McNemar)", "Décisions, p (McNemar)"),
    "dice_difference": ("Dice, difference", "Dice, différence"),
    "dice_wilcoxon": ("Dice, p (Wilcoxon)", "Dice, p (Wilcoxon)"),
    "tradeoff": ("Quality against cost", "Qualité et coût"),
    "against.time": ("{figure} against time", "{figure} et durée"),
    "against.energy": ("{figure} against energy", "{figure} et énergie"),
    "axis.time": ("one image (ms, median), log scale", "une image (ms, médiane), échelle log"),
    "axis.energy": ("1,000 studies (Wh), log scale", "1 000 examens (Wh), échelle log"),
    "front": ("Pareto front", "front de Pareto"),
    "note.time": (
        "Good models stand top left. Bars are 95 % intervals. No other model is as good as a ringed one for less.",
        "Les bons modèles sont en haut à gauche. Barres : intervalles à 95 %. Aucun autre modèle n’est aussi bon qu’un "
        "modèle cerclé pour moins.",
    ),
    "note.energy": (
        "The same against energy: {labels}. That error moves all points of one meter together.",
        "De même face à l’énergie : {labels}. Cette erreur déplace ensemble tous les points d’un même appareil.",
    ),
}
