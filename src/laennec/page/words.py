"""Every sentence of the pages, in English and in French.

One table: key to (English, French). ``{name}`` is filled in, escaped; ``<strong>`` is the only markup. Keys that begin
with ``plot.`` are the texts of `laennec.plots`; those of the page about an audit stand in `audit_words`,
about a comparison in `comparison_words`, about a data set in `data_words`, about a study in `study_words`, about
outlined lungs in `segmentation_words`, about what a report says beside its figures in `report_words`.
"""

from __future__ import annotations

from laennec.page.audit_words import AUDIT_WORDS
from laennec.page.comparison_words import COMPARISON_WORDS
from laennec.page.data_words import DATA_WORDS
from laennec.page.report_words import REPORT_WORDS
from laennec.page.segmentation_words import SEGMENTATION_WORDS
from laennec.page.study_words import STUDY_WORDS

WORDS: dict[str, tuple[str, str]] = {
    **AUDIT_WORDS,
    **COMPARISON_WORDS,
    **DATA_WORDS,
    **REPORT_WORDS,
    **SEGMENTATION_WORDS,
    **STUDY_WORDS,
    "research": (
        "Research use only. Not a medical device.",
        "Réservé à la recherche. Ceci n’est pas un dispositif médical.",
    ),
    "language": ("Language", "Langue"),
    "skip": ("Skip to the figures", "Aller aux résultats"),
    "report_title": ("Report on {model}", "Évaluation de {model}"),
    "subtitle": ("{collection}, {part} part, {made}", "{collection}, partie {part}, {made}"),
    "named.train": ("Training", "Entraînement"),
    "named.val": ("Validation", "Validation"),
    "named.test": ("Test", "Test"),
    "named.external": ("External", "Externe"),
    "named.shared": ("Shared, not external", "Partagée, non externe"),
    "part.train": ("training", "d’entraînement"),
    "part.val": ("validation", "de validation"),
    "part.test": ("test", "de test"),
    "part.external": ("external", "externe"),
    "part.shared": ("shared, not external", "partagée, non externe"),
    "images": ("images", "images"),
    "count": ("Images", "Images"),
    "patients": ("patients", "patients"),
    "positives": ("with {finding}", "avec {finding}"),
    "or": ("or", "ou"),
    "interval95": ("95 % interval {interval}", "intervalle à 95 % : {interval}"),
    "none": ("not available", "non disponible"),
    "not_test": (
        "Measured on the {part} part. The model or its threshold has seen these images: expect less elsewhere.",
        "Mesuré sur la partie {part}. Le modèle ou son seuil a déjà vu ces images : attendez-vous à moins ailleurs.",
    ),
    # What it means
    "meaning": ("What this means", "Ce que cela veut dire"),
    "found": (
        "Of <strong>{with_n}</strong> radiographs with {finding} it found <strong>{hits}</strong> and missed "
        "<strong>{missed}</strong>.",
        "Sur <strong>{with_n}</strong> radiographies avec {finding}, il en a reconnu <strong>{hits}</strong> et "
        "manqué <strong>{missed}</strong>.",
    ),
    "cleared": (
        "Of <strong>{without_n}</strong> without, it rightly cleared <strong>{cleared}</strong> and raised a false "
        "alarm on <strong>{alarms}</strong>.",
        "Sur <strong>{without_n}</strong> sans, il en a écarté à juste titre <strong>{cleared}</strong> et a donné une "
        "fausse alerte pour <strong>{alarms}</strong>.",
    ),
    "ranking": (
        "Shown one radiograph with the finding and one without, drawn at random, it gives the first the higher score "
        "<strong>{auroc}</strong> of the time: that is the AUROC.",
        "Devant une radiographie avec l’anomalie et une sans, tirées au hasard, il donne le score le plus haut à la "
        "première dans <strong>{auroc}</strong> des cas : c’est l’AUROC.",
    ),
    "uncertain": (
        "With this many images the true sensitivity may lie anywhere in {interval}.",
        "Avec ce nombre d’images, la sensibilité véritable peut se trouver n’importe où dans l’intervalle {interval}.",
    ),
    # Operating point
    "point": ("Operating point", "Seuil de décision"),
    "rule.balanced": (
        "balanced: the largest sum of sensitivity and specificity",
        "équilibre : la plus grande somme de la sensibilité et de la spécificité",
    ),
    "rule.rule_out": (
        "rule out: a sensitivity of at least 95 %, then the largest specificity",
        "exclusion : une sensibilité d’au moins 95 %, puis la plus grande spécificité",
    ),
    "rule.rule_in": (
        "rule in: a specificity of at least 95 %, then the largest sensitivity",
        "confirmation : une spécificité d’au moins 95 %, puis la plus grande sensibilité",
    ),
    "point_text": (
        "An image is called positive when its score reaches <strong>{threshold}</strong>. Rule: {rule}. The threshold "
        "was fitted on {n} validation images, where sensitivity was {sensitivity} and specificity {specificity}; it "
        "was frozen before the images of this report were scored.",
        "Une image est dite positive quand son score atteint <strong>{threshold}</strong>. Règle : {rule}. Le seuil a "
        "été ajusté sur {n} images de validation, avec une sensibilité de {sensitivity} et une spécificité de "
        "{specificity} ; il a été figé avant de noter les images de ce rapport.",
    ),
    # Figures
    "figures": ("Figures", "Graphiques"),
    "note.roc": (
        "The higher the curve, the better the ranking. AUROC {auroc}.",
        "Plus la courbe est haute, meilleur est le classement. AUROC {auroc}.",
    ),
    "note.precision_recall": (
        "Of the images called positive, how many are. Average precision {auprc}.",
        "Parmi les images dites positives, combien le sont. Précision moyenne {auprc}.",
    ),
    "note.confusion": (
        "Each row sums to the images of that truth; percentages are shares of the row.",
        "Chaque ligne totalise les images de cette vérité ; les pourcentages sont des parts de la ligne.",
    ),
    "note.reliability": (
        "On the diagonal a score of 0.8 comes true 8 times in 10. Expected calibration error {ece}.",
        "Sur la diagonale, un score de 0,8 se vérifie 8 fois sur 10. Erreur de calibration attendue {ece}.",
    ),
    "note.scores": (
        "Images on the wrong side of the dashed line are the errors.",
        "Les images du mauvais côté de la ligne tiretée sont les erreurs.",
    ),
    "note.training": (
        "The star marks the weights that were kept, a dotted line the start of a phase.",
        "L’étoile marque les poids conservés, une ligne pointillée le début d’une phase.",
    ),
    # Tables
    "all_figures": ("All figures", "Tous les résultats"),
    "figure": ("Figure", "Mesure"),
    "value": ("Value", "Valeur"),
    "interval": ("95 % interval", "Intervalle à 95 %"),
    "method": ("Method", "Méthode"),
    "metric.auroc": ("AUROC", "AUROC"),
    "metric.auprc": ("Average precision (AUPRC)", "Précision moyenne (AUPRC)"),
    "metric.accuracy": ("Accuracy", "Exactitude"),
    "metric.balanced_accuracy": ("Balanced accuracy", "Exactitude équilibrée"),
    "metric.sensitivity": ("Sensitivity", "Sensibilité"),
    "metric.specificity": ("Specificity", "Spécificité"),
    "metric.ppv": ("Positive predictive value", "Valeur prédictive positive"),
    "metric.npv": ("Negative predictive value", "Valeur prédictive négative"),
    "metric.f1_macro": ("F1, mean over labels", "F1, moyenne des classes"),
    "metric.ece": ("Expected calibration error", "Erreur de calibration attendue"),
    "metric.brier": ("Brier score", "Score de Brier"),
    "method.delong": ("DeLong", "DeLong"),
    "method.wilson": ("Wilson", "Wilson"),
    "method.patient_bootstrap": ("patient bootstrap", "bootstrap par patient"),
    "method.image_bootstrap": ("image bootstrap", "bootstrap par image"),
    "method.mover": ("MOVER", "MOVER"),
    "per_class": ("By label", "Par classe"),
    "label": ("Label", "Classe"),
    "precision": ("Precision", "Précision"),
    "recall": ("Recall", "Rappel"),
    "f1": ("F1", "F1"),
    "elsewhere": ("Where the finding is rarer or commoner", "Là où l’anomalie est plus rare ou plus fréquente"),
    "elsewhere_text": (
        "Predictive values move with the share of people who have the finding. For 1,000 people, if sensitivity and "
        "specificity held as measured here, which another hospital does not promise:",
        "Les valeurs prédictives changent avec la part des personnes atteintes. Pour 1 000 personnes, si la "
        "sensibilité et la spécificité restaient celles mesurées ici, ce qu’un autre hôpital ne garantit pas :",
    ),
    "prevalence": ("Share with the finding", "Part des personnes atteintes"),
    "here": ("as here", "comme ici"),
    "flagged": ("Called positive", "Dites positives"),
    "rightly": ("of them rightly", "dont à raison"),
    "overlooked": ("Missed", "Manquées"),
    "training": ("Training", "Entraînement"),
    # Errors
    "errors": ("The most certain errors", "Les erreurs les plus assurées"),
    "errors_text": (
        "Errors in all: {n}. Missed findings come first, then false alarms, each from the most to the least certain. "
        "Certainty is how far the score lies beyond the threshold.",
        "Erreurs en tout : {n}. Anomalies manquées d’abord, fausses alertes ensuite, de la plus à la moins assurée. "
        "La certitude dit à quelle distance du seuil se trouve le score.",
    ),
    "no_error": ("No error on these images.", "Aucune erreur sur ces images."),
    "kind.missed": ("Missed", "Manquée"),
    "kind.alarm": ("False alarm", "Fausse alerte"),
    "kind.confused": ("Confused", "Confondue"),
    "truth": ("Truth", "Vérité"),
    "decided": ("Decision", "Décision"),
    "score": ("Score", "Score"),
    "certainty": ("Certainty", "Certitude"),
    "id": ("Image", "Image"),
    "neither": ("no {finding}", "pas de {finding}"),
    "alt": ("Radiograph {id}: {kind}, score {score}", "Radiographie {id} : {kind}, score {score}"),
    "no_picture": ("no picture", "pas d’image"),
    "all_errors": ("List of errors ({shown} of {n})", "Liste des erreurs ({shown} sur {n})"),
    "refused": ("Refused files", "Fichiers refusés"),
    "refused_text": (
        "Files that could not be read, and count in no figure: {n}.",
        "Fichiers qui n’ont pas pu être lus, et n’entrent dans aucun résultat : {n}.",
    ),
    "code": ("Code", "Code"),
    "reason": ("Reason", "Raison"),
    # Provenance
    "provenance": ("Where it comes from", "Provenance"),
    "notes": ("Read with care", "À lire avec prudence"),
    "several": (
        "{images} images come from {patients} patients: intervals by DeLong and Wilson take images as independent and "
        "are a little too narrow.",
        "{images} images viennent de {patients} patients : les intervalles de DeLong et de Wilson supposent les images "
        "indépendantes et sont un peu trop étroits.",
    ),
    "unknown": (
        "{n} images have no known truth for the finding and count in no figure that needs it.",
        "{n} images n’ont pas de vérité connue pour l’anomalie et n’entrent dans aucun résultat qui en a besoin.",
    ),
    "collection": ("Collection", "Collection"),
    "licence": ("Licence", "Licence"),
    "citation": ("Citation", "Citation"),
    "split": ("Split", "Répartition"),
    "part": ("Part", "Partie"),
    "digest.collection": ("Digest of the collection", "Empreinte de la collection"),
    "digest.split": ("Digest of the split", "Empreinte de la répartition"),
    "digest.bundle": ("Digest of the bundle", "Empreinte du modèle"),
    "model": ("Model", "Modèle"),
    "runtime": ("Runtime", "Moteur"),
    "hardware": ("Hardware", "Matériel"),
    "made": ("Made", "Établi le"),
    "version": ("laennec", "laennec"),
    "methods": ("How the intervals were made", "Comment les intervalles ont été établis"),
    "methods_text": (
        "AUROC: DeLong (1988; Sun & Xu 2014) on the logit scale; where the classes separate perfectly, Wilson on the "
        "smaller class. Proportions: Wilson (1927). Average precision, balanced accuracy, F1, Brier and calibration "
        "error (15 equal-width bins, Guo 2017): bootstrap of patients, 1,000 replicates. Predictive values at a stated "
        "prevalence: MOVER-R from Wilson’s bounds (Donner & Zou 2012).",
        "AUROC : DeLong (1988 ; Sun & Xu 2014) à l’échelle logit ; si les classes se séparent parfaitement, Wilson sur "
        "la plus petite. Proportions : Wilson (1927). Précision moyenne, exactitude équilibrée, F1, Brier et erreur de "
        "calibration (15 intervalles égaux, Guo 2017) : bootstrap par patient, 1 000 tirages. Valeurs prédictives à "
        "une prévalence donnée : MOVER-R à partir des bornes de Wilson (Donner & Zou 2012).",
    ),
    # Shared with the pages about a comparison and a study
    "parameters": ("Parameters", "Paramètres"),
    "megabytes": ("Size (MB)", "Taille (Mo)"),
    "flipped": ("Decided otherwise", "Décidées autrement"),
    # Plots
    "plot.decimal": (".", ","),
    "plot.roc": ("ROC curve", "Courbe ROC"),
    "plot.precision_recall": ("Precision and recall", "Précision et rappel"),
    "plot.reliability": ("Reliability", "Fiabilité des scores"),
    "plot.confusion": ("Confusion matrix", "Matrice de confusion"),
    "plot.scores": ("Scores", "Scores"),
    "plot.training": ("Training curves", "Courbes d’entraînement"),
    "plot.false_alarms": ("false alarms (1 − specificity)", "fausses alertes (1 − spécificité)"),
    "plot.sensitivity": ("sensitivity (recall)", "sensibilité (rappel)"),
    "plot.precision": ("precision", "précision"),
    "plot.chance": ("chance", "hasard"),
    "plot.prevalence": ("share of positives", "part des positives"),
    "plot.operating_point": ("operating point", "seuil de décision"),
    "plot.mean_score": ("mean score", "score moyen"),
    "plot.observed": ("observed frequency", "fréquence observée"),
    "plot.perfect": ("perfect", "parfaite"),
    "plot.truth": ("truth", "vérité"),
    "plot.decision": ("decision", "décision"),
    "plot.score": ("score", "score"),
    "plot.images_sqrt": ("images (square-root scale)", "images (échelle en racine carrée)"),
    "plot.with_finding": ("with the finding", "avec l’anomalie"),
    "plot.without_finding": ("without", "sans"),
    "plot.threshold": ("threshold", "seuil"),
    "plot.epoch": ("epoch", "époque"),
    "plot.loss": ("loss", "perte"),
    "plot.train_loss": ("training", "entraînement"),
    "plot.val_loss": ("validation", "validation"),
    "plot.auroc": ("AUROC", "AUROC"),
    "plot.accuracy": ("Accuracy", "Exactitude"),
    "plot.val_auroc": ("AUROC, validation", "AUROC, validation"),
    "plot.val_accuracy": ("accuracy, validation", "exactitude, validation"),
    "plot.dice": ("Dice", "Dice"),
    "plot.val_dice": ("Dice, validation", "Dice, validation"),
    "plot.kept": ("kept", "conservée"),
    "plot.nothing": ("not enough images", "pas assez d’images"),
}
