"""Carbon intensity of the electricity of countries, in a table that needs no network.

Grams of CO2 equivalent per kWh generated in the country over a year, plants and fuel counted over their life cycle, by
Ember and the Energy Institute as collected by Our World in Data (edition of mid 2024, CC BY 4.0), rounded to the gram.
Figures of 2023, or of 2022 where 2023 was not out. Checked against Our World in Data's page and Ember's world figure
of that edition. The EU is the mean of its 27 members in the table weighted by what they generated.

How sure: Ember's edition of 2026 gives 483 for the world in 2023 where this one gives 481, but 458 for 2025: grids get
cleaner by 2 to 3 % a year on average, some by 10 %. Take ±10 %. A year's mean says nothing of the hour, and generation
says nothing of imports: a country that buys coal power from its neighbours looks better here than its sockets are.
"""

from __future__ import annotations

import os

from laennec.costs import Grid
from laennec.errors import UnknownName

VARIABLE = "LAENNEC_GRID"  # the environment's choice of grid
SOURCE = "Ember and Energy Institute by Our World in Data (2024)"
ERROR = 0.10

WORLD, UNION = "world", "EU"
_ALSO = {"UK": "GB", "EL": "GR"}  # codes that the EU and many people use
_TABLE: dict[str, tuple[str, int, int]] = {
    WORLD: ("World", 481, 2023),
    UNION: ("European Union", 244, 2023),
    "AE": ("United Arab Emirates", 561, 2022),
    "AR": ("Argentina", 354, 2023),
    "AT": ("Austria", 111, 2023),
    "AU": ("Australia", 549, 2023),
    "BD": ("Bangladesh", 691, 2023),
    "BE": ("Belgium", 138, 2023),
    "BG": ("Bulgaria", 335, 2023),
    "BR": ("Brazil", 98, 2023),
    "CA": ("Canada", 170, 2023),
    "CH": ("Switzerland", 35, 2023),
    "CI": ("Côte d'Ivoire", 394, 2022),
    "CL": ("Chile", 291, 2023),
    "CM": ("Cameroon", 305, 2022),
    "CN": ("China", 582, 2023),
    "CO": ("Colombia", 260, 2023),
    "CY": ("Cyprus", 534, 2023),
    "CZ": ("Czechia", 450, 2023),
    "DE": ("Germany", 381, 2023),
    "DK": ("Denmark", 152, 2023),
    "EE": ("Estonia", 417, 2023),
    "EG": ("Egypt", 570, 2023),
    "ES": ("Spain", 174, 2023),
    "ET": ("Ethiopia", 25, 2022),
    "FI": ("Finland", 79, 2023),
    "FR": ("France", 56, 2023),
    "GB": ("United Kingdom", 238, 2023),
    "GH": ("Ghana", 484, 2022),
    "GR": ("Greece", 337, 2023),
    "HK": ("Hong Kong", 699, 2022),
    "HR": ("Croatia", 205, 2023),
    "HU": ("Hungary", 204, 2023),
    "ID": ("Indonesia", 676, 2022),
    "IE": ("Ireland", 291, 2023),
    "IL": ("Israel", 583, 2022),
    "IN": ("India", 713, 2023),
    "IS": ("Iceland", 28, 2022),
    "IT": ("Italy", 331, 2023),
    "JP": ("Japan", 485, 2023),
    "KE": ("Kenya", 70, 2023),
    "KR": ("South Korea", 431, 2023),
    "LK": ("Sri Lanka", 510, 2022),
    "LT": ("Lithuania", 160, 2023),
    "LU": ("Luxembourg", 105, 2023),
    "LV": ("Latvia", 123, 2023),
    "MA": ("Morocco", 630, 2023),
    "MT": ("Malta", 459, 2023),
    "MX": ("Mexico", 507, 2023),
    "MY": ("Malaysia", 606, 2022),
    "NG": ("Nigeria", 523, 2023),
    "NL": ("Netherlands", 268, 2023),
    "NO": ("Norway", 30, 2023),
    "NP": ("Nepal", 24, 2022),
    "NZ": ("New Zealand", 113, 2023),
    "PE": ("Peru", 266, 2023),
    "PH": ("Philippines", 611, 2023),
    "PK": ("Pakistan", 441, 2023),
    "PL": ("Poland", 662, 2023),
    "PT": ("Portugal", 166, 2023),
    "RO": ("Romania", 241, 2023),
    "RW": ("Rwanda", 316, 2022),
    "SA": ("Saudi Arabia", 707, 2022),
    "SE": ("Sweden", 41, 2023),
    "SG": ("Singapore", 471, 2023),
    "SI": ("Slovenia", 231, 2023),
    "SK": ("Slovakia", 117, 2023),
    "SN": ("Senegal", 512, 2022),
    "TH": ("Thailand", 550, 2023),
    "TN": ("Tunisia", 564, 2023),
    "TR": ("Türkiye", 465, 2023),
    "TW": ("Taiwan", 642, 2023),
    "UA": ("Ukraine", 260, 2022),
    "UG": ("Uganda", 45, 2022),
    "US": ("United States", 369, 2023),
    "VN": ("Vietnam", 475, 2023),
    "ZA": ("South Africa", 708, 2023),
}


def names() -> list[str]:
    """The codes of the places, ``world`` and ``EU`` first."""
    return list(_TABLE)


def title(code: str) -> str:
    """The English name of a place by its code."""
    return _TABLE[code][0]


def grid(place: str | None = None) -> Grid:
    """The grid of a place.

    Args:
        place: ISO 3166 code of two letters, English name, ``EU`` or ``world``; capitals do not matter. None takes the
            environment's ``LAENNEC_GRID``, and the world's mean where that is not set.

    Raises:
        UnknownName: the table does not hold it; the hint proposes the nearest.
    """
    asked = (os.environ.get(VARIABLE) or WORLD) if place is None else place
    wanted = asked.strip()
    codes = {code.casefold(): code for code in (*_TABLE, *_ALSO)}
    codes |= {name.casefold(): code for code, (name, _, _) in _TABLE.items()}
    code = codes.get(wanted.casefold())
    if code is None:
        known = [name for name, _, _ in _TABLE.values()] if len(wanted) > 3 else names()
        raise UnknownName("grid", wanted, known)
    code = _ALSO.get(code, code)
    _, intensity, year = _TABLE[code]
    return Grid(place=code, intensity=intensity, year=year, source=SOURCE)
