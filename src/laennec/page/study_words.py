"""The sentences of the page about a study, in English and in French, laid out as in `laennec.page.words`."""

from __future__ import annotations

STUDY_WORDS: dict[str, tuple[str, str]] = {
    "study.subtitle": ("A study of {n} runs, {made}", "Une étude de {n} essais, {made}"),
    "study.on": ("{collection}, test part", "{collection}, partie de test"),
    "study.question": ("The question", "La question"),
    "study.outcome": ("What came out", "Ce qu’il en ressort"),
    "study.run": ("Run", "Essai"),
    "study.runs": ("Runs", "Essais"),
    "study.reference": ("reference", "référence"),
    "study.unfinished": (
        "This study is not finished. Still to run: {names}.",
        "Cette étude n’est pas terminée. Reste à faire : {names}.",
    ),
    "study.best": (
        "The highest AUROC is that of <strong>{name}</strong>: {figure}{interval}, on {images} test images of "
        "{patients} patients.",
        "L’AUROC la plus haute est celle de <strong>{name}</strong> : {figure}{interval}, sur {images} images de test "
        "de {patients} patients.",
    ),
    "study.best_dice": (
        "The lungs are outlined best by <strong>{name}</strong>: mean Dice {figure}{interval}, on {images} test images "
        "of {patients} patients that have a mask.",
        "Le meilleur contour des poumons est celui de <strong>{name}</strong> : Dice moyen {figure}{interval}, sur "
        "{images} images de test de {patients} patients qui ont un masque.",
    ),
    "study.range": (" (95 % interval {interval})", " (intervalle à 95 % : {interval})"),
    "study.range_seeds": (
        " (mean of {n} seeds, standard deviation {spread})",
        " (moyenne de {n} graines, écart-type {spread})",
    ),
    "study.above": (
        "<strong>{name}</strong> ranks better than {reference}: AUROC {difference} ({interval}), {p} after correction.",
        "<strong>{name}</strong> classe mieux que {reference} : AUROC {difference} ({interval}), {p} après correction.",
    ),
    "study.below": (
        "<strong>{name}</strong> ranks worse than {reference}: AUROC {difference} ({interval}), {p} after correction.",
        "<strong>{name}</strong> classe moins bien que {reference} : AUROC {difference} ({interval}), {p} après "
        "correction.",
    ),
    "study.same": (
        "<strong>{name}</strong> and {reference}: no difference of AUROC could be shown ({difference}, {interval}, "
        "{p} after correction). That is not proof that they are equal.",
        "<strong>{name}</strong> et {reference} : aucune différence d’AUROC n’a pu être montrée ({difference}, "
        "{interval}, {p} après correction). Cela ne prouve pas qu’ils se valent.",
    ),
    "study.above_dice": (
        "<strong>{name}</strong> outlines better than {reference}: mean Dice {difference} ({interval}), {p} after "
        "correction.",
        "<strong>{name}</strong> trace mieux que {reference} : Dice moyen {difference} ({interval}), {p} après "
        "correction.",
    ),
    "study.below_dice": (
        "<strong>{name}</strong> outlines worse than {reference}: mean Dice {difference} ({interval}), {p} after "
        "correction.",
        "<strong>{name}</strong> trace moins bien que {reference} : Dice moyen {difference} ({interval}), {p} après "
        "correction.",
    ),
    "study.same_dice": (
        "<strong>{name}</strong> and {reference}: no difference of Dice could be shown ({difference}, {interval}, {p} "
        "after correction). That is not proof that they are equal.",
        "<strong>{name}</strong> et {reference} : aucune différence de Dice n’a pu être montrée ({difference}, "
        "{interval}, {p} après correction). Cela ne prouve pas qu’ils se valent.",
    ),
    "study.least_missed": (
        "At its threshold, frozen on validation, <strong>{name}</strong> misses the fewest: sensitivity {sensitivity} "
        "with specificity {specificity}.",
        "À son seuil, figé sur la validation, <strong>{name}</strong> en manque le moins : sensibilité {sensitivity}, "
        "spécificité {specificity}.",
    ),
    "study.faster": (
        "<strong>{name}</strong> answers for one image in {latency} ms, its parent {parent} in {before} ms.",
        "<strong>{name}</strong> répond pour une image en {latency} ms, son parent {parent} en {before} ms.",
    ),
    "study.no_tests": (
        "The reference {reference} did not end: no test against it could be made.",
        "La référence {reference} n’a pas abouti : aucun test n’a pu être fait contre elle.",
    ),
    "study.none_ended": ("No run has ended.", "Aucun essai n’a abouti."),
    "study.failed_count": (
        "Runs that did not end: {n}. They are listed below with their reasons.",
        "Essais qui n’ont pas abouti : {n}. Ils figurent plus bas avec leurs raisons.",
    ),
    # Cautions
    "study.care.one_seed": (
        "Each run was trained once. Another seed would give other figures, and neither the intervals nor the tests "
        "know by how much: they speak of these trained models on other images.",
        "Chaque modèle n’a été entraîné qu’une fois. Une autre graine donnerait d’autres valeurs, et ni les "
        "intervalles ni les tests ne savent de combien : ils parlent de ces modèles-ci sur d’autres images.",
    ),
    "study.care.seeds": (
        "Each run was trained with {n} seeds. Means and standard deviations are over the seeds; the tests compare "
        "means of these trained models on other images, and know nothing of further seeds.",
        "Chaque modèle a été entraîné avec {n} graines. Moyennes et écarts-types portent sur les graines ; les tests "
        "comparent les moyennes de ces modèles sur d’autres images, et ne savent rien d’autres graines.",
    ),
    "study.care.n": (
        "{images} test images, {positives} of them with {finding}: differences below the width of the intervals "
        "cannot be seen here.",
        "{images} images de test, dont {positives} avec {finding} : des différences plus petites que la largeur des "
        "intervalles ne peuvent se voir ici.",
    ),
    "study.care.masks": (
        "Masks are held against the truth on the {masks} test images that have one. What those who drew it overlooked, "
        "no figure here can tell.",
        "Les masques sont comparés à la référence sur les {masks} images de test qui en ont une. Ce que ses auteurs "
        "ont laissé passer, aucune valeur ne peut le dire ici.",
    ),
    "study.care.last": (
        "Kept at its last epoch, so more epochs might have helped: {names}.",
        "Retenu à la dernière époque, si bien que d’autres époques auraient pu aider : {names}.",
    ),
    "study.care.random": (
        "Started from random weights, which says nothing about transfer from pretrained ones: {names}.",
        "Parti de poids aléatoires, ce qui ne dit rien du transfert depuis des poids préentraînés : {names}.",
    ),
    "study.all": ("all runs", "tous les essais"),
    "study.care.hardware": (
        "The runs were not trained on the same hardware with the same number of threads: their times do not compare.",
        "Les essais n’ont pas tourné sur le même matériel avec le même nombre de fils : leurs durées ne se "
        "comparent pas.",
    ),
    "study.care.times": (
        "Training times hold whatever else the machine did meanwhile.",
        "Les durées comprennent tout ce que la machine faisait par ailleurs.",
    ),
    "study.care.chosen": (
        "The epoch and the threshold of each run were chosen on validation; the test part was read once per run.",
        "L’époque et le seuil de chaque essai ont été choisis sur la validation ; la partie de test a été lue "
        "une fois par essai.",
    ),
    # Tables
    "study.quality": ("How well they decide", "Comment ils décident"),
    "study.quality_text": (
        "On the same test images. Below each figure its 95 % interval; in each heading the number of images it rests "
        "on. The threshold of each run was fitted on validation and frozen.",
        "Sur les mêmes images de test. Sous chaque valeur, son intervalle à 95 % ; en tête, le nombre d’images sur "
        "lequel elle repose. Le seuil de chaque essai a été ajusté sur la validation, puis figé.",
    ),
    "study.quality_seeds": (
        "On the same test images, as mean and standard deviation over seeds; the figures of each seed stand below with "
        "their intervals. The threshold of each run was fitted on validation and frozen.",
        "Sur les mêmes images de test, en moyenne et écart-type sur les graines ; les valeurs de chaque graine sont "
        "plus bas avec leurs intervalles. Le seuil de chaque essai a été ajusté sur la validation, puis figé.",
    ),
    "study.masks": ("How well they outline the lungs", "Comment ils tracent les poumons"),
    "study.masks_text": (
        "Means over the same test images, those that have a mask. Below each figure its 95 % interval, and the same "
        "figure over all pixels of all images together. HD95: the smaller, the better. The threshold of each run was "
        "fitted on validation and frozen.",
        "Moyennes sur les mêmes images de test, celles qui ont un masque. Sous chaque valeur, son intervalle à 95 %, "
        "et la même mesure sur tous les pixels de toutes les images ensemble. HD95 : plus c’est petit, mieux c’est. Le "
        "seuil de chaque essai a été ajusté sur la validation, puis figé.",
    ),
    "study.masks_seeds": (
        "Means over the same test images, those that have a mask, then mean and standard deviation over seeds; below "
        "them the same over all pixels of all images together. HD95: the smaller, the better. The threshold of each "
        "run was fitted on validation and frozen.",
        "Moyennes sur les mêmes images de test, celles qui ont un masque, puis moyenne et écart-type sur les graines ; "
        "dessous, la même mesure sur tous les pixels de toutes les images ensemble. HD95 : plus c’est petit, mieux "
        "c’est. Le seuil de chaque essai a été ajusté sur la validation, puis figé.",
    ),
    "study.pooled": ("all pixels {value}", "tous pixels {value}"),
    "study.lungs": ("Lung by lung", "Poumon par poumon"),
    "study.lungs_text": (
        "Means over the images. “Before” is the Dice at the threshold alone, before small pieces are removed and holes "
        "filled.",
        "Moyennes sur les images. « Avant » est le Dice au seul seuil, avant que les petits morceaux soient retirés et "
        "les trous remplis.",
    ),
    "study.right_dice": ("Right lung, Dice", "Poumon droit, Dice"),
    "study.left_dice": ("Left lung, Dice", "Poumon gauche, Dice"),
    "study.right_hd95": ("Right lung, HD95", "Poumon droit, HD95"),
    "study.left_hd95": ("Left lung, HD95", "Poumon gauche, HD95"),
    "study.raw_dice": ("Before, Dice", "Avant, Dice"),
    "study.finding": (
        "AUROC, sensitivity and specificity speak of {finding}; accuracy and F1 of every label.",
        "AUROC, sensibilité et spécificité portent sur {finding} ; exactitude et F1 sur toutes les classes.",
    ),
    "study.claimed": ("claimed {value}", "annoncé {value}"),
    "study.claimed_text": (
        "“Claimed” is what the report this study follows states{on}; it was not measured here.",
        "« Annoncé » est ce qu’affirme le rapport que cette étude reprend{on} ; ce n’est pas mesuré ici.",
    ),
    "study.claimed_on": (", for {on}", ", pour {on}"),
    "study.sd": ("± {spread}, {n} seeds", "± {spread}, {n} graines"),
    "study.n": ("n = {n}", "n = {n}"),
    "study.tests": ("Against the reference, {reference}", "Face à la référence, {reference}"),
    "study.tests_text": (
        "Paired tests on the same images: DeLong for the AUROC, McNemar for how often the decision is right. p values "
        "are corrected for the {n} runs tested by Holm’s method, for each of the two tests on its own; uncorrected "
        "ones in small. A large p does not say that two runs are equal.",
        "Tests appariés sur les mêmes images : DeLong pour l’AUROC, McNemar pour la fréquence des décisions justes. "
        "Les p sont corrigés pour les {n} essais testés par la méthode de Holm, pour chacun des deux tests à "
        "part ; non corrigés en petit. Un grand p ne dit pas que deux essais se valent.",
    ),
    "study.tests_seeds": (
        "The AUROC compared is the mean over seeds; decisions are those of each run’s first seed.",
        "L’AUROC comparée est la moyenne sur les graines ; les décisions sont celles de la première graine.",
    ),
    "study.tests_masks_text": (
        "Masks: Wilcoxon’s signed ranks of the Dice of the same images. p values are corrected for the {n} runs tested "
        "by Holm’s method, uncorrected ones in small; the interval resamples images.",
        "Masques : rangs signés de Wilcoxon sur le Dice des mêmes images. Les p sont corrigés pour les {n} essais "
        "testés par la méthode de Holm, non corrigés en petit ; l’intervalle rééchantillonne les images.",
    ),
    "study.tests_masks_seeds": (
        "The Dice compared is each image’s mean over seeds.",
        "Le Dice comparé est, pour chaque image, la moyenne sur les graines.",
    ),
    "study.dice_difference": ("Dice, difference", "Dice, différence"),
    "study.dice_p": ("p (Wilcoxon)", "p (Wilcoxon)"),
    "study.difference": ("AUROC, difference", "AUROC, différence"),
    "study.auroc_p": ("p (DeLong)", "p (DeLong)"),
    "study.decisions_p": ("Decisions, p (McNemar)", "Décisions, p (McNemar)"),
    "study.raw": ("{p} uncorrected", "{p} non corrigé"),
    "study.cost": ("What they cost", "Ce qu’ils coûtent"),
    "study.learning_parameters": ("Learning", "Dont appris"),
    "study.learning_text": (
        "“Learning” counts the parameters that a phase may change. “Kept” is the epoch whose weights were kept, “best” "
        "that of the highest validation AUROC, or Dice of masks alone.",
        "« Dont appris » compte les paramètres qu’une phase peut changer. « Retenue » est l’époque dont les poids ont "
        "été gardés, « meilleure » celle de la plus haute AUROC de validation, ou du plus haut Dice de masques seuls.",
    ),
    "study.minutes": ("Training (min)", "Entraînement (min)"),
    "study.minutes_axis": ("training time (minutes)", "durée d’entraînement (minutes)"),
    "study.claimed_seconds": ("claimed {value} s", "annoncé {value} s"),
    "study.epochs": ("Epochs", "Époques"),
    "study.kept": ("Kept", "Retenue"),
    "study.best_epoch": ("Best", "Meilleure"),
    "study.start": ("Started from", "Parti de"),
    "study.start_random": ("random weights", "poids aléatoires"),
    "study.machine": ("Threads", "Fils"),
    "study.trained_on": ("Trained on {hardware}.", "Entraînés sur {hardware}."),
    "study.exported": ("exported from {of}: {backend}, {precision}", "exporté de {of} : {backend}, {precision}"),
    "study.as_parent": ("as {of}", "comme {of}"),
    "study.speeds": ("What the exports bring", "Ce qu’apportent les exports"),
    "study.speeds_text": (
        "Each export was timed against its parent in one interleaved run with {threads} threads on {hardware}; one "
        "image at a time, decoding left out.",
        "Chaque export a été chronométré en alternance avec son parent, avec {threads} fils sur {hardware} ; une image "
        "à la fois, sans le décodage.",
    ),
    "study.parent": ("Parent", "Parent"),
    "study.latency": ("Latency (ms)", "Latence (ms)"),
    "study.rate": ("Images per second", "Images par seconde"),
    "study.was": ("parent {value}", "parent {value}"),
    # Figures
    "study.note_roc": (
        "The higher the curve, the better the ranking. A disc stands where a run decides, at its frozen threshold.",
        "Plus la courbe est haute, meilleur est le classement. Un disque se trouve là où l’essai décide, à son "
        "seuil figé.",
    ),
    "study.note_roc_seeds": (
        "Curves are averaged over seeds; the discs are those of the first seed.",
        "Les courbes sont moyennées sur les graines ; les disques sont ceux de la première graine.",
    ),
    "study.cost_plot.decisions": ("AUROC and accuracy against training time", "AUROC et exactitude selon la durée"),
    "study.cost_plot.masks": ("Dice and IoU against training time", "Dice et IoU selon la durée"),
    "study.cost_plot.both": ("AUROC and Dice against training time", "AUROC et Dice selon la durée"),
    "study.dice_plot": ("How many images reach which Dice", "Combien d’images atteignent quel Dice"),
    "study.dice_share": ("share of images", "part des images"),
    "study.note_dice": (
        "The further right the curve, the better; where it falls early, some images fail. A disc stands at the median.",
        "Plus la courbe est à droite, mieux c’est ; là où elle tombe tôt, des images échouent. Un disque marque la "
        "médiane.",
    ),
    "study.note_cost": (
        "Bars are 95 % intervals; good and quick runs stand top left.",
        "Les barres sont les intervalles à 95 % ; les bons et rapides sont en haut à gauche.",
    ),
    "study.note_cost_seeds": (
        "Bars are one standard deviation between seeds either way; good and quick runs stand top left.",
        "Les barres sont d’un écart-type entre graines de part et d’autre ; les bons et rapides sont en haut à gauche.",
    ),
    "study.learning": ("How they learned", "Comment ils ont appris"),
    "study.val_auroc": ("validation AUROC", "AUROC de validation"),
    "study.val_dice": ("validation Dice", "Dice de validation"),
    "study.val_loss": ("validation loss", "perte de validation"),
    "study.note_learning": (
        "The star marks the epoch that was kept, an upright bar the start of a phase. Losses of runs with different "
        "targets or weights do not compare.",
        "L’étoile marque l’époque retenue, une barre verticale le début d’une phase. Les pertes d’essais aux "
        "cibles ou aux poids différents ne se comparent pas.",
    ),
    "study.first_seed": ("Of the first seed of each run.", "Pour la première graine de chaque essai."),
    "study.per_class": ("By label", "Par classe"),
    "study.confusions": ("Confusion matrices", "Matrices de confusion"),
    "study.confusions_text": (
        "Truth downwards, decision across, on the test part. Percentages are shares of the row.",
        "Vérité en lignes, décision en colonnes, sur la partie de test. Les pourcentages sont des parts de la ligne.",
    ),
    # Apart
    "study.apart_data": (
        "On other labels, masks or images: {names}",
        "Sur d’autres classes, masques ou images : {names}",
    ),
    "study.apart_data_text": (
        "Decides between {labels} on its own {images} test images of {patients} patients. Its figures answer another "
        "question than those above: they are not tested against {reference}.",
        "Décide entre {labels} sur ses propres {images} images de test de {patients} patients. Ses valeurs répondent "
        "à une autre question que celles du haut : elles ne sont pas testées contre {reference}.",
    ),
    "study.apart_masks_text": (
        "Outlines the lungs on {images} test images of {patients} patients, with other images or masks than those "
        "above: it is not tested against {reference}.",
        "Trace les poumons sur {images} images de test de {patients} patients, avec d’autres images ou masques que "
        "ceux du haut : aucun test contre {reference}.",
    ),
    "study.apart_split": ("On another split: {names}", "Sur une autre répartition : {names}"),
    "study.apart_split_text": (
        "The test images ({images} of {patients} patients) are not those above, and may have been training images "
        "there: no test against {reference} would be sound.",
        "Les images de test ({images} de {patients} patients) ne sont pas celles du haut, et peuvent y avoir servi à "
        "l’entraînement : aucun test contre {reference} ne serait valable.",
    ),
    # What each run is
    "study.what": ("What each run is", "Ce qu’est chaque essai"),
    "study.recipe": ("recipe {recipe}", "recette {recipe}"),
    "study.differences": ("Where the recipes differ", "Où les recettes diffèrent"),
    "study.differences_text": (
        "Every key of the recipes that is not the same in all runs; a dash where a run has no such key. What is not "
        "listed here is the same for all.",
        "Chaque clé des recettes qui n’est pas la même partout ; un tiret là où un essai n’a pas cette clé. Ce "
        "qui n’est pas listé est commun à tous.",
    ),
    "study.key": ("Key", "Clé"),
    "study.data": ("How the data was parted", "Comment les données ont été réparties"),
    "study.data_text": (
        "Parts never share a patient. Images and patients of each part:",
        "Aucun patient n’est dans deux parties. Images et patients de chaque partie :",
    ),
    "study.train": ("Training", "Entraînement"),
    "study.val": ("Validation", "Validation"),
    "study.test": ("Test", "Test"),
    "study.masked": ("{n} with a mask", "{n} avec un masque"),
    "study.test_labels": ("Test images by label", "Images de test par classe"),
    "study.by_seed": ("Seed by seed", "Graine par graine"),
    "study.seed": ("Seed", "Graine"),
    "study.failures": ("Runs that did not end", "Essais qui n’ont pas abouti"),
    "study.failures_text": (
        "They count in no figure. The same command tries them again and keeps what is finished.",
        "Ils n’entrent dans aucun résultat. La même commande les reprend et garde ce qui est fini.",
    ),
    "study.hint": ("What would mend it", "Ce qui y remédierait"),
}
