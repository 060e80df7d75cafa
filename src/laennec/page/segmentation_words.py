"""Every sentence about outlined lungs, in English and in French; see `laennec.page.words` for the table's rules."""

from __future__ import annotations

SEGMENTATION_WORDS: dict[str, tuple[str, str]] = {
    "seg.lungs": ("Lungs", "Poumons"),
    "seg.finding": ("Finding: {finding}", "Anomalie : {finding}"),
    "seg.contents": ("On this page", "Sur cette page"),
    "seg.masks": ("with a mask to hold them against", "avec un masque de référence"),
    "seg.n": ("n = {n}", "n = {n}"),
    # Measures
    "seg.dice": ("Dice", "Dice"),
    "seg.iou": ("IoU (Jaccard)", "IoU (Jaccard)"),
    "seg.precision": ("Precision", "Précision"),
    "seg.recall": ("Recall", "Rappel"),
    "seg.accuracy": ("Pixel accuracy", "Exactitude des pixels"),
    "seg.hd95": ("HD95 (pixels)", "HD95 (pixels)"),
    "seg.hd95_mm": ("HD95 (mm)", "HD95 (mm)"),
    "seg.mean_dice": ("Mean Dice", "Dice moyen"),
    "seg.mean_iou": ("Mean IoU", "IoU moyen"),
    "seg.mean_hd95": ("Mean HD95, pixels", "HD95 moyen, pixels"),
    "seg.mean_hd95_mm": ("Mean HD95, millimetres", "HD95 moyen, millimètres"),
    "seg.right": ("Right lung", "Poumon droit"),
    "seg.left": ("Left lung", "Poumon gauche"),
    "seg.short.iou": ("IoU", "IoU"),
    "seg.short.hd95": ("HD95", "HD95"),
    "seg.short.right": ("Right lung", "Poumon droit"),
    "seg.short.left": ("Left lung", "Poumon gauche"),
    # What it means
    "seg.meaning": ("What the outlines are worth", "Ce que valent les contours"),
    "seg.pixels": (
        "Taking all images together: of {base} pixels marked as lung, <strong>{marked}</strong> are; of {base} lung "
        "pixels, <strong>{found}</strong> are found.",
        "Toutes images confondues : sur {base} pixels marqués comme poumon, <strong>{marked}</strong> en sont "
        "vraiment ; sur {base} pixels de poumon, <strong>{found}</strong> sont retrouvés.",
    ),
    "seg.distance": (
        "Of the points on either outline, drawn or true, 95 % lie within <strong>{distance}</strong> of the other one: "
        "that is the HD95, averaged over the images.",
        "Des points de l’un ou l’autre contour, tracé ou vrai, 95 % sont à moins de <strong>{distance}</strong> de "
        "l’autre : c’est le HD95, en moyenne sur les images.",
    ),
    "seg.millimetres": (
        "In millimetres on the detector, where the pixel spacing is known ({n} images): <strong>{distance}</strong>.",
        "En millimètres sur le détecteur, là où la taille du pixel est connue ({n} images) : "
        "<strong>{distance}</strong>.",
    ),
    "seg.spread": (
        "Half of the images reach a Dice of <strong>{median}</strong> or more; {below} of {n} stay below {limit}. The "
        "worst has <strong>{worst}</strong>.",
        "La moitié des images atteignent un Dice de <strong>{median}</strong> ou plus ; {below} sur {n} restent en "
        "dessous de {limit}. La moins bonne n’a que <strong>{worst}</strong>.",
    ),
    "seg.uncertain": (
        "With this many patients the true mean Dice may lie anywhere in {interval}.",
        "Avec ce nombre de patients, le Dice moyen véritable peut se trouver n’importe où dans l’intervalle "
        "{interval}.",
    ),
    "seg.sides": ("Right and left", "Droite et gauche"),
    "seg.sides_text": (
        "Right and left are the patient’s: the right lung lies on the left of the picture. A picture that was mirrored "
        "cannot be told from one that was not; its two sides are then exchanged.",
        "La droite et la gauche sont celles du patient : le poumon droit se trouve à gauche de l’image. Rien ne permet "
        "de reconnaître une image retournée en miroir ; ses deux côtés sont alors échangés.",
    ),
    "seg.maskless": (
        "{n} images have no mask to be held against and count in no figure about the lungs.",
        "{n} images n’ont pas de masque de référence et n’entrent dans aucun résultat sur les poumons.",
    ),
    # From probabilities to a mask
    "seg.rule": ("From probabilities to a mask", "Des probabilités au masque"),
    "seg.threshold_fitted": (
        "<strong>Threshold.</strong> A pixel is lung from a probability of <strong>{threshold}</strong> on: the value "
        "that gave the largest mean Dice on {n} validation images. It was frozen before the images of this report were "
        "outlined.",
        "<strong>Seuil.</strong> Un pixel est du poumon à partir d’une probabilité de <strong>{threshold}</strong> : "
        "la valeur qui a donné le plus grand Dice moyen sur {n} images de validation. Elle a été figée avant de tracer "
        "les contours de ce rapport.",
    ),
    "seg.threshold_given": (
        "<strong>Threshold.</strong> A pixel is lung from a probability of <strong>{threshold}</strong> on. The value "
        "was set in advance; no validation image served to choose it.",
        "<strong>Seuil.</strong> Un pixel est du poumon à partir d’une probabilité de <strong>{threshold}</strong>. "
        "La valeur a été fixée d’avance ; aucune image de validation n’a servi à la choisir.",
    ),
    "seg.keep_all": (
        "<strong>Pieces.</strong> All are kept, however small.",
        "<strong>Morceaux.</strong> Tous sont gardés, même les plus petits.",
    ),
    "seg.keep_1": (
        "<strong>Pieces.</strong> The largest is kept; what does not touch it is removed.",
        "<strong>Morceaux.</strong> Le plus grand est gardé ; ce qui n’y touche pas est retiré.",
    ),
    "seg.keep_2": (
        "<strong>Pieces.</strong> The two largest are kept, as there are two lungs; the others are removed.",
        "<strong>Morceaux.</strong> Les deux plus grands restent, car il y a deux poumons ; les autres sont retirés.",
    ),
    "seg.keep_more": (
        "<strong>Pieces.</strong> The {keep} largest are kept; the others are removed.",
        "<strong>Morceaux.</strong> Les {keep} plus grands sont gardés ; les autres sont retirés.",
    ),
    "seg.fill": (
        "<strong>Holes.</strong> Whatever a piece encloses is filled.",
        "<strong>Trous.</strong> Tout ce qu’un morceau entoure est rempli.",
    ),
    "seg.leave": (
        "<strong>Holes.</strong> They stay open.",
        "<strong>Trous.</strong> Ils restent ouverts.",
    ),
    "seg.changed": (
        "On the images of this report the steps after the threshold raised the Dice of {up}, lowered that of {down} "
        "and left {same} as they were.",
        "Sur les images de ce rapport, les étapes après le seuil ont relevé le Dice de {up}, abaissé celui de {down} "
        "et laissé {same} inchangées.",
    ),
    "seg.no_steps": (
        "Nothing is done after the threshold.",
        "Rien n’est fait après le seuil.",
    ),
    "seg.before": ("Before", "Avant"),
    "seg.after": ("After", "Après"),
    "seg.change": ("Change", "Écart"),
    "seg.on_validation": ("validation, model’s grid", "validation, grille du modèle"),
    "seg.on_part": ("{part} part", "partie {part}"),
    # Spread
    "seg.figures": ("How the images differ", "D’une image à l’autre"),
    "seg.plot.histogram": ("Dice of each image", "Dice de chaque image"),
    "seg.plot.distance": ("Area and edge", "Surface et bord"),
    "seg.plot.sides": ("Right and left lung", "Poumons droit et gauche"),
    "seg.note.histogram": (
        "The further right, the better. Triangles mark the {n} worst, shown below.",
        "Plus c’est à droite, mieux c’est. Les triangles marquent les {n} moins bonnes, montrées plus bas.",
    ),
    "seg.note.distance": (
        "A point high up on the right: the area is right, but the edge strays somewhere.",
        "Un point en haut à droite : la surface est juste, mais le bord s’égare par endroits.",
    ),
    "seg.note.sides": (
        "Below the diagonal the left lung is the harder one, above it the right.",
        "Sous la diagonale, le poumon gauche est le plus difficile ; au-dessus, le droit.",
    ),
    "seg.plot.dice": ("Dice of the image", "Dice de l’image"),
    "seg.plot.median": ("median", "médiane"),
    "seg.plot.worst": ("shown as worst", "montrées plus bas"),
    "seg.plot.others": ("the others", "les autres"),
    "seg.plot.hd95": ("HD95, pixels", "HD95, pixels"),
    "seg.plot.right": ("Dice, right lung", "Dice, poumon droit"),
    "seg.plot.left": ("Dice, left lung", "Dice, poumon gauche"),
    # Pictures
    "seg.worst": ("The worst outlines", "Les moins bons contours"),
    "seg.worst_text": (
        "The images with the lowest Dice, starting from the worst: {shown} of {n}.",
        "Les images au Dice le plus bas, en commençant par la pire : {shown} sur {n}.",
    ),
    "seg.typical": ("Typical outlines", "Contours typiques"),
    "seg.typical_text": (
        "The images nearest to the median Dice, {median}: {shown} of {n}. This is what to expect of most.",
        "Les images les plus proches du Dice médian, {median} : {shown} sur {n}. C’est ce qu’il faut attendre de la "
        "plupart.",
    ),
    "seg.truth": ("Truth", "Vérité"),
    "seg.prediction": ("Prediction", "Prédiction"),
    "seg.difference": ("Difference", "Différence"),
    "seg.key": ("Colours", "Couleurs"),
    "seg.key.truth": ("true outline", "contour vrai"),
    "seg.key.prediction": ("outline drawn by the model", "contour tracé par le modèle"),
    "seg.key.agreed": ("lung in both", "poumon dans les deux"),
    "seg.key.missed": ("missed: lung in the truth alone", "manqué : poumon dans la vérité seule"),
    "seg.key.added": ("added: lung in the prediction alone", "ajouté : poumon dans la prédiction seule"),
    "seg.alt": ("Radiograph {id}, {panel}", "Radiographie {id}, {panel}"),
    "seg.panels": ("Radiograph {id}: three pictures", "Radiographie {id} : trois images"),
    "seg.raw": ("before post-processing", "avant le post-traitement"),
    "seg.previous": ("Previous", "Précédente"),
    "seg.next": ("Next", "Suivante"),
    "seg.list": ("Back to the list", "Retour à la liste"),
    "seg.jump": ("Go to an image", "Aller à une image"),
    "seg.all_images": (
        "List of images ({shown} of {n}), the lowest Dice first",
        "Liste des images ({shown} sur {n}), du Dice le plus bas au plus haut",
    ),
    # Tables
    "seg.measures": ("All measures of the masks", "Toutes les mesures des masques"),
    "seg.measure": ("Measure", "Mesure"),
    "seg.mean": ("Mean of the images", "Moyenne des images"),
    "seg.pooled": ("All pixels together", "Tous pixels confondus"),
    "seg.measures_text": (
        "Each image weighs the same in the mean; in the pooled figures an image with larger lungs weighs more. Under "
        "each figure stands its 95 % interval.",
        "Chaque image pèse autant dans la moyenne ; dans les mesures tous pixels confondus, une image aux poumons plus "
        "grands pèse davantage. Sous chaque mesure figure son intervalle à 95 %.",
    ),
    "seg.methods": ("How the masks were measured", "Comment les masques ont été mesurés"),
    "seg.methods_text": (
        "Dice (1945) is twice the area in common over the sum of both areas; IoU (Jaccard 1912) the area in common "
        "over the area of either. HD95 is the 95th percentile of the distances from each outline to the other, both "
        "ways together (after Huttenlocher 1993). All on the grid of the true mask, at most 512 pixels a side. "
        "Intervals: bootstrap of patients, 1,000 replicates.",
        "Le Dice (1945) vaut deux fois la surface commune sur la somme des deux surfaces ; l’IoU (Jaccard 1912), la "
        "surface commune sur leur réunion. Le HD95 est le 95e centile des distances de chaque contour à l’autre, dans "
        "les deux sens à la fois (d’après Huttenlocher 1993). Le tout sur la grille du masque de référence, 512 pixels "
        "de côté au plus. Intervalles : bootstrap par patient, 1 000 tirages.",
    ),
}
