"""The sentences of a report's parts about use, thresholds, audits, abstention, data and cost; part of `words`."""

from __future__ import annotations

REPORT_WORDS: dict[str, tuple[str, str]] = {
    "contents": ("On this page", "Sur cette page"),
    # What it is for
    "use": ("What it is for, and not for", "À quoi il sert, et à quoi il ne sert pas"),
    "use.for": ("Made for", "Conçu pour"),
    "use.not": ("Not for", "À ne pas employer pour"),
    "use.one_of": (
        "Telling whether a chest radiograph shows <strong>{finding}</strong>, by choosing among {labels}.",
        "Dire si une radiographie thoracique montre <strong>{finding}</strong>, en choisissant entre {labels}.",
    ),
    "use.each_of": (
        "Telling whether a chest radiograph shows <strong>{finding}</strong>; it judges {labels} each by itself.",
        "Dire si une radiographie thoracique montre <strong>{finding}</strong> ; il juge séparément {labels}.",
    ),
    "use.outlines": (
        "Outlining the lungs on a chest radiograph.",
        "Tracer le contour des poumons sur une radiographie thoracique.",
    ),
    "use.research": (
        "Research, comparison of methods and teaching.",
        "La recherche, la comparaison de méthodes et l’enseignement.",
    ),
    "use.learned": (
        "Images like those it learned from: {images} of {patients} patients from {collection}.",
        "Des images semblables à celles dont il a appris : {images}, de {patients} patients, issues de {collection}.",
    ),
    "use.judged": (
        "Groups in which {share} have the finding, as among the {images} images judged here.",
        "Des groupes où {share} des images portent l’anomalie, comme parmi les {images} images jugées ici.",
    ),
    "use.no_care": (
        "Diagnosis, triage or treatment. Nothing here shows that it is safe or useful in the care of patients.",
        "Le diagnostic, le tri ou le traitement. Rien ici ne montre qu’il soit sûr ou utile dans les soins.",
    ),
    "use.no_others": (
        "Any finding other than {labels}: it knows no other, and will still answer with one of these.",
        "Toute autre anomalie que {labels} : il n’en connaît pas d’autre, et répondra quand même par l’une d’elles.",
    ),
    "use.no_other_answers": (
        "Any finding other than {labels}: of others it says nothing.",
        "Toute autre anomalie que {labels} : des autres, il ne dit rien.",
    ),
    "use.no_disease": (
        "Finding disease: it says where the lungs are, not whether they are healthy.",
        "Chercher une maladie : il dit où sont les poumons, non s’ils sont sains.",
    ),
    "use.no_elsewhere": (
        "Other hospitals, machines or populations: this report measures it within {collection} only.",
        "D’autres hôpitaux, appareils ou populations : ce rapport ne le mesure que sur {collection}.",
    ),
    "use.no_third": (
        "Hospitals, machines or populations unlike both {collection} and {other}, where it was measured.",
        "Des hôpitaux, appareils ou populations différents de {collection} et de {other}, où il a été mesuré.",
    ),
    "use.no_groups": (
        "Claims about age, sex or other groups: whether it serves all of them alike was not measured.",
        "Des affirmations selon l’âge, le sexe ou d’autres groupes : on n’a pas mesuré s’il les sert également.",
    ),
    "use.no_refusal": (
        "Unwatched use: it answers for every picture, even one unlike any it learned from.",
        "Un emploi sans surveillance : il répond pour toute image, même sans rapport avec celles dont il a appris.",
    ),
    # Operating points
    "points": ("Operating points", "Seuils de décision au choix"),
    "points_text": (
        "Each was chosen on {n} validation images by its rule, then frozen. The figures are those on the images of "
        "this report, with Wilson’s interval.",
        "Chacun a été choisi selon sa règle sur {n} images de validation, puis figé. Les mesures sont celles obtenues "
        "sur les images de ce rapport, avec l’intervalle de Wilson.",
    ),
    "point.balanced": ("Balanced", "Équilibre"),
    "point.rule_out": ("Rule out", "Exclusion"),
    "point.rule_in": ("Rule in", "Confirmation"),
    "point.aim.balanced": ("largest sensitivity + specificity", "plus grande somme sensibilité + spécificité"),
    "point.aim.rule_out": ("sensitivity ≥ 95 % on validation", "sensibilité ≥ 95 % en validation"),
    "point.aim.rule_in": ("specificity ≥ 95 % on validation", "spécificité ≥ 95 % en validation"),
    "point.here": ("used in this report", "retenu dans ce rapport"),
    "false_alarms": ("False alarms", "Fausses alertes"),
    # Predictive values
    "predictive": ("Predictive values by prevalence", "Valeurs prédictives selon la prévalence"),
    "note.predictive": (
        "From the sensitivity and specificity measured here, by Bayes’ rule; bands are 95 % intervals, as the table’s: "
        "they take the share as given, and are narrower than those of all figures, where it was drawn too. The dotted "
        "line is the share among these images.",
        "Calculées par la règle de Bayes à partir de la sensibilité et de la spécificité mesurées ici ; les bandes "
        "sont les intervalles à 95 % du tableau : ils tiennent la part pour donnée et "
        "sont plus étroits que ceux de tous les résultats, où elle relève aussi du tirage. La ligne "
        "pointillée marque la part observée sur ces images.",
    ),
    "axis.prevalence": ("share with the finding (logarithmic)", "part des personnes atteintes (logarithmique)"),
    "axis.predictive": ("predictive value", "valeur prédictive"),
    # Maps
    "map_text": (
        "Warm colours mark the places that raised the score. They explain the network, not the disease: a finding need "
        "not lie there.",
        "Les couleurs chaudes marquent les endroits qui ont fait monter le score. Elles expliquent le réseau, non la "
        "maladie : l’anomalie ne s’y trouve pas forcément.",
    ),
    "map_alt": ("Map of what raised the score of {id}", "Carte de ce qui a fait monter le score de {id}"),
    # Audits
    "warned.model.fail": (
        "The audit of this model found what must be fixed: <strong>{titles}</strong>.",
        "L’audit de ce modèle a relevé des défauts à corriger : <strong>{titles}</strong>.",
    ),
    "warned.model.warn": (
        "The audit of this model calls for caution: <strong>{titles}</strong>.",
        "L’audit de ce modèle appelle à la prudence : <strong>{titles}</strong>.",
    ),
    "warned.data.fail": (
        "The audit of the data found what must be fixed: <strong>{titles}</strong>.",
        "L’audit des données a relevé des défauts à corriger : <strong>{titles}</strong>.",
    ),
    "warned.data.warn": (
        "The audit of the data calls for caution: <strong>{titles}</strong>.",
        "L’audit des données appelle à la prudence : <strong>{titles}</strong>.",
    ),
    "lost.sensitivity": (
        "Sensitivity was {then} on validation; here it is <strong>{now}</strong> ({interval}): the threshold does not "
        "carry over.",
        "La sensibilité était de {then} en validation ; elle n’est ici que de <strong>{now}</strong> ({interval}) : le "
        "seuil ne se transpose pas.",
    ),
    "lost.specificity": (
        "Specificity was {then} on validation; here it is <strong>{now}</strong> ({interval}): the threshold does not "
        "carry over.",
        "La spécificité était de {then} en validation ; elle n’est ici que de <strong>{now}</strong> ({interval}) : le "
        "seuil ne se transpose pas.",
    ),
    "lost.calibration": (
        "The probabilities were calibrated on validation, and that does not hold here: calibration error {ece}.",
        "Les probabilités ont été calibrées en validation, et cela ne tient pas ici : erreur de calibration de {ece}.",
    ),
    "warned.more": ("See the details", "Voir le détail"),
    "audited": ("Subgroups, shortcuts and robustness", "Sous-groupes, raccourcis et robustesse"),
    "audited_text": (
        "From the audit of this very model on the {part} part. Its page, audit.html, shows the images and methods.",
        "D’après l’audit de ce même modèle sur la partie {part}. Sa page, audit.html, montre les images et les "
        "méthodes.",
    ),
    "audited_data_text": (
        "From the audit of this data set. Its page, audit.html, shows the images and methods.",
        "D’après l’audit de ce jeu de données. Sa page, audit.html, montre les images et les méthodes.",
    ),
    "unaudited": (
        "Not measured: whether it does worse in some groups, leans on borders, text or marks outside the lungs, or "
        "fails on poor images. An audit of the model tells.",
        "Non mesuré : s’il fait moins bien dans certains groupes, s’appuie sur les bords, les inscriptions ou des "
        "marques hors des poumons, ou échoue sur de mauvaises images. Un audit du modèle le dit.",
    ),
    "data_audited": ("What the audit of the data found", "Ce que l’audit des données a trouvé"),
    "data_unaudited": (
        "No audit of these data lies with the model: duplicates, leaks between parts and doubtful labels were not "
        "looked for here.",
        "Aucun audit de ces données n’accompagne le modèle : doublons, fuites entre parties et étiquettes douteuses "
        "n’ont pas été recherchés ici.",
    ),
    # Abstention
    "abstention": ("When it asks a person", "Quand il s’en remet à une personne"),
    "abstained": (
        "It refers <strong>{referred}</strong> of the images to a person ({interval}): {uncertain} because it is "
        "uncertain, {unlike} because they are unlike those it learned from.",
        "Il renvoie <strong>{referred}</strong> des images à une personne ({interval}) : {uncertain} parce qu’il est "
        "incertain, {unlike} parce qu’elles ne ressemblent pas à celles dont il a appris.",
    ),
    "abstained_uncertain": (
        "It refers <strong>{referred}</strong> of the images to a person ({interval}), because it is uncertain.",
        "Il renvoie <strong>{referred}</strong> des images à une personne ({interval}), parce qu’il est incertain.",
    ),
    "abstained_errors": (
        "Of those it answers {error} are wrong; of all images {all} would be, of those it refers {of_referred}.",
        "Il se trompe sur {error} des images auxquelles il répond ; ce serait {all} s’il répondait à toutes, et "
        "{of_referred} de celles qu’il renvoie.",
    ),
    "coverage": ("Coverage asked for", "Couverture demandée"),
    "covered": ("Sets that hold the truth", "Ensembles contenant la vérité"),
    "coverage_text": (
        "Conformal sets by class (Vovk 2012; Sadinle, Lei & Wasserman 2019): a label stays possible unless the "
        "validation images of that class speak against it. An image is referred unless one label alone is left.",
        "Ensembles conformes par classe (Vovk 2012 ; Sadinle, Lei & Wasserman 2019) : une classe reste possible tant "
        "que ses images de validation ne parlent pas contre elle. Une image est renvoyée s’il ne reste pas une seule "
        "classe.",
    ),
    "coverage_missed": (
        "On these images the sets hold the truth less often than asked for {labels}: what was set on validation does "
        "not carry over to them.",
        "Sur ces images, les ensembles contiennent la vérité moins souvent que demandé pour {labels} : ce qui a été "
        "réglé en validation ne s’y transpose pas.",
    ),
    "risk_coverage": ("Risk and coverage", "Risque et couverture"),
    "note.risk_coverage": (
        "The error among the images it answers, the most certain first; the area under the curve is {aurc}.",
        "L’erreur parmi les images auxquelles il répond, les plus sûres d’abord ; l’aire sous la courbe vaut {aurc}.",
    ),
    "axis.answered": ("share of the images answered", "part des images auxquelles il répond"),
    "axis.error": ("share of wrong decisions among them", "part de décisions fausses parmi elles"),
    "no_abstention": (
        "This model refers nobody: it decides for every image, however uncertain.",
        "Ce modèle ne renvoie personne : il décide pour toute image, même incertain.",
    ),
    # Data
    "data_used": ("The data", "Les données"),
    "data_used_text": (
        "The model learned from {collection}. The split is: {how}.",
        "Le modèle a appris de {collection}. Répartition : {how}.",
    ),
    "data_apart": (
        "By the patient keys of the data nobody stands in two parts of the split it was made with (digest {digest}…): "
        "loading refuses a split that straddles.",
        "D’après les identifiants de patient du jeu, personne ne figure dans deux parties de la répartition employée "
        "(empreinte {digest}…) : le chargement refuse une répartition qui coupe un patient en deux.",
    ),
    "data_apart_audited": (
        "The audit of the data looked at the patients: {verdict}. {said}",
        "L’audit des données a examiné les patients : {verdict}. {said}",
    ),
    "data_used_shared": (
        "The model learned from {collection}; it was judged here on {other}, which shares images with what it learned "
        "from: this is not an external test, and the figures flatter.",
        "Le modèle a appris de {collection} ; il est jugé ici sur {other}, qui partage des images avec ce qu’il a "
        "appris : ce n’est pas un test externe, et les résultats sont flatteurs.",
    ),
    "data_used_external": (
        "The model learned from {collection}; it was judged here on {other}. Whether both share patients was not "
        "checked by this report.",
        "Le modèle a appris de {collection} ; il est jugé ici sur {other}. Ce rapport n’a pas vérifié si des patients "
        "figurent dans les deux.",
    ),
    "with_mask": ("With a mask", "Avec un masque"),
    "patients_column": ("Patients", "Patients"),
    "not_stated": ("not stated", "non précisé"),
    "known_of": ("What is known of these images", "Ce que l’on sait de ces images"),
    # Cost
    "cost": ("Cost and energy", "Coût et énergie"),
    "cost.training": ("Training", "Entraînement"),
    "cost.training_text": (
        "{epochs} epochs in {time}, weights of epoch {kept} kept; {threads} threads of {hardware}",
        "{epochs} époques en {time}, poids de l’époque {kept} conservés ; {threads} fils de {hardware}",
    ),
    "cost.energy": ("Energy of the training", "Énergie de l’entraînement"),
    "cost.energy_text": (
        "{wh} Wh, {grams} g CO₂e ({place}, {year}); {label}",
        "{wh} Wh, {grams} g CO₂e ({place}, {year}) ; {label}",
    ),
    "cost.inference": ("Energy of 1,000 images", "Énergie de 1 000 images"),
    "cost.timing": ("Time of one image", "Durée d’une image"),
    "cost.timing_text": (
        "{ms} ms ({p95} ms for 95 % of them); {backend} {precision}, {threads} threads, {hardware}",
        "{ms} ms ({p95} ms pour 95 % d’entre elles) ; {backend} {precision}, {threads} fils, {hardware}",
    ),
    "cost.size": ("Size", "Taille"),
    "cost.size_text": ("{parameters} parameters, {megabytes} MB", "{parameters} paramètres, {megabytes} Mo"),
    "cost.memory": ("Memory", "Mémoire"),
    "cost.memory_text": ("{megabytes} MB for the whole process", "{megabytes} Mo pour tout le processus"),
    "place.world": ("the world’s mean", "moyenne mondiale"),
    "cost.letter": ("Letter", "Lettre"),
    "not_measured": ("not measured", "non mesuré"),
    "seconds_of": ("{n} s", "{n} s"),
    "minutes_of": ("{n} min", "{n} min"),
    "hours_of": ("{n} h", "{n} h"),
    # Provenance
    "starting_weights": ("Starting weights", "Poids de départ"),
    "architecture": ("Network", "Réseau"),
    "preprocessing": ("Input", "Entrée"),
    "preprocessing_text": ("{size} × {size} pixels, {how}", "{size} × {size} pixels, {how}"),
    "digest.parent": ("Made from the bundle", "Issu du modèle"),
    "digest.teacher": ("Learned from the bundle", "Élève du modèle"),
    "digest.member": ("Member {name}", "Membre {name}"),
    "gate": ("Held against its parent", "Comparé à son parent"),
    "gate.passed": (
        "passed: {flipped} of {n} validation images decided otherwise, AUROC {before} before and {after} after",
        "réussi : {flipped} des {n} images de validation décidées autrement, AUROC {before} avant et {after} après",
    ),
    "gate.failed": (
        "failed: {flipped} of {n} validation images decided otherwise, AUROC {before} before and {after} after",
        "échoué : {flipped} des {n} images de validation décidées autrement, AUROC {before} avant et {after} après",
    ),
    "trained_with": ("Bundle made with", "Modèle fait avec"),
    "files": ("Files of the bundle", "Fichiers du modèle"),
    "file": ("File", "Fichier"),
    "bytes": ("Bytes", "Octets"),
    "recipe": ("The recipe it was made by", "La recette dont il est issu"),
}
