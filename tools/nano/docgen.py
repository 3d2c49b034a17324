"""Renders small synthetic business documents (receipt, invoice, statement) with exact truth.

One page is a SIZE x SIZE grey image of fixed-pitch print, ROWS x COLS characters of 14 x 7 pixels,
as tills and line printers make them. Besides the 25 fields, the text of every row is returned, so
that reading can be supervised densely.

    python docgen.py [SEED [SHEET.png]]    speed, two pages as text, six pages in one picture

Needs numpy, pillow and the fonts named in FACES (README.md); FONTS says where they lie.

Copyright snug contributors. SPDX-License-Identifier: Apache-2.0
"""

import os
import random

try:
    import numpy as np
    from PIL import Image, ImageDraw, ImageFont
except ImportError as problem:
    raise SystemExit("docgen needs numpy and pillow: %s" % problem)

SIZE, ROWS, COLS = 336, 24, 48
ABSENT = "NOT_FOUND"
FIELDS = [
    "DOCUMENT_TYPE", "SUPPLIER", "ABN", "PAYER_NAME", "PAYER_ADDRESS", "PAYER_PHONE",
    "PAYER_EMAIL", "INVOICE_DATE", "DUE_DATE", "GST", "TOTAL", "SUBTOTAL", "QUANTITIES",
    "PRICES", "BUSINESS_ADDRESS", "BUSINESS_PHONE", "SUPPLIER_WEBSITE", "BANK_NAME",
    "BSB_NUMBER", "BANK_ACCOUNT_NUMBER", "ACCOUNT_HOLDER", "STATEMENT_PERIOD",
    "OPENING_BALANCE", "CLOSING_BALANCE", "DESCRIPTIONS",
]

FIRST = (
    "Olivia Noah Amelia Jack Isla William Ava Leo Mia Lucas Grace Henry Chloe Thomas Emily James "
    "Sophie Oliver Ruby Ethan Zoe Max Ella Samuel Lily Oscar Hannah Daniel Lucy Adam Nina Victor "
    "Priya Kenji Rosa Ivan Mei Omar Tara Felix"
).split()
LAST = (
    "Smith Jones Williams Brown Wilson Taylor Martin White Anderson Thompson Nguyen Walker Harris "
    "Lee Ryan Robinson Kelly King Davis Wright Evans Roberts Green Hall Wood Clarke Patel Singh "
    "Chen Costa Novak Weber Moreau Rossi Tanaka Kim Lopez Silva Jensen Murphy"
).split()
BRAND = (
    "Harbour Coral Banksia Wattle Summit River Golden Southern Northern Pacific Atlas Cedar "
    "Willow Amber Cobalt Granite Meadow Falcon Kestrel Beacon Anchor Compass Lantern Orchid "
    "Sterling Crown Maple Juniper Pioneer Horizon Redgum Saffron Tidal Vertex Zenith Quartz Ember "
    "Bluegum Eureka Ironbark"
).split()
TRADE = [
    "Hotels", "Foods", "Motors", "Hardware", "Books", "Energy", "Fuel", "Pharmacy", "Plumbing",
    "Electrical", "Office Supplies", "Garden Centre", "Bakery", "Cafe", "Logistics",
    "Consulting", "Cleaning", "Sports", "Paints", "Timber", "Optics", "Travel", "Print",
    "Seafood", "Dairy",
]
SUFFIX = ["", "", "", " Pty Ltd", " Ltd", " Group", " & Co"]
STREET = (
    "Pitt Collins Bourke Flinders King Queen George Adelaide Charlotte Swanston Hunter Bridge "
    "Market Park Station Church High Elm Beach Victoria Albert Murray Hay Rundle Elizabeth "
    "Liverpool Kent Sussex Spring Russell"
).split()
KIND = ["Street", "Street", "Road", "Avenue", "Lane", "Parade"]
CITY = [
    "Sydney NSW", "Melbourne VIC", "Brisbane QLD", "Perth WA", "Adelaide SA", "Hobart TAS",
    "Darwin NT", "Canberra ACT", "Geelong VIC", "Cairns QLD", "Newcastle NSW", "Ballarat VIC",
]
MAIL = ["gmail.com", "outlook.com", "yahoo.com.au", "bigpond.com", "icloud.com", "hotmail.com"]
BANK = [
    "Commonwealth Bank", "Westpac", "ANZ Bank", "National Australia Bank", "Suncorp Bank",
    "Bendigo Bank", "Macquarie Bank", "Bank of Queensland", "ING Australia", "St George Bank",
    "Harbour Mutual", "Southern Credit Union",
]
ITEM = [
    "Rice 1kg", "Cheese Block", "Frozen Peas", "Milk 2L", "Coffee Large", "Energy Drink",
    "Car Wash", "Premium Unleaded", "Paint Brush", "Wood Screws", "A4 Paper", "Stapler",
    "Ink Cartridge", "Desk Lamp", "USB Cable", "Garden Hose", "Potting Mix", "Olive Oil",
    "Bread Loaf", "Tea Bags", "Notebook", "Ball Pens", "Batteries AA", "Light Bulb",
    "Hand Soap", "Towels", "Room Service", "Laundry", "Labour Hour", "Site Visit",
    "Copper Pipe", "Cable Ties", "Sandpaper", "Timber Plank", "Sunscreen", "Bandages",
    "Vitamins", "Fish Fillet", "Orange Juice", "Yoghurt",
]
MOVE = [
    "ATM WITHDRAWAL", "EFTPOS PURCHASE", "SALARY CREDIT", "ONLINE TRANSFER", "DIRECT DEBIT",
    "INTEREST PAYMENT", "REFUND", "CARD PAYMENT", "LOAN REPAYMENT", "CASH DEPOSIT",
]


FONTS = os.environ.get("FONTS", "/usr/share/fonts")
# Regular, bold, size. The order counts: the seed of a page picks by number.
FACES = [
    ("truetype/liberation/LiberationMono-Regular.ttf",
     "truetype/liberation/LiberationMono-Bold.ttf", 12),
    ("truetype/dejavu/DejaVuSansMono.ttf", "truetype/dejavu/DejaVuSansMono-Bold.ttf", 11),
    ("truetype/freefont/FreeMono.ttf", "truetype/freefont/FreeMonoBold.ttf", 12),
    ("truetype/hack/Hack-Regular.ttf", "truetype/hack/Hack-Bold.ttf", 11),
    ("truetype/noto/NotoSansMono-Regular.ttf", "truetype/noto/NotoSansMono-Bold.ttf", 12),
    ("opentype/courier-prime/Courier Prime.otf",
     "opentype/courier-prime/Courier Prime Bold.otf", 12),
]
_glyphs = {}


def glyph(face, bold, ch):
    """Coverage of one character in a 16 x 11 box whose cell is rows 1..14, columns 2..8."""
    key = (face, bold, ch)
    if key not in _glyphs:
        f = ImageFont.truetype(
            os.path.join(FONTS, FACES[face][1 if bold else 0]), FACES[face][2]
        )
        box = Image.new("L", (11, 16), 0)
        ImageDraw.Draw(box).text(
            (5.5 - f.getlength(ch) / 2, 12.5), ch, fill=255, font=f, anchor="ls"
        )
        _glyphs[key] = np.asarray(box, np.float32) / 255.0
    return _glyphs[key]


def abn(r):
    """An 11-digit Australian Business Number whose check digits hold.

    Weights 10, 1, 3, ..., 19 after 1 is taken from the first digit; modulus 89."""
    tail = [r.randrange(10) for _ in range(9)]
    s = sum(d * w for d, w in zip(tail, (3, 5, 7, 9, 11, 13, 15, 17, 19)))
    for lead in range(10, 100):
        if ((lead // 10 - 1) * 10 + lead % 10 + s) % 89 == 0:
            d = "%d%s" % (lead, "".join(map(str, tail)))
            return "%s %s %s %s" % (d[:2], d[2:5], d[5:8], d[8:])
    raise AssertionError("no ABN")


def money(c):
    return "$%d.%02d" % divmod(c, 100)


def phone(r):
    return "(0%d) %04d %04d" % (r.choice((2, 3, 7, 8)), r.randrange(10000), r.randrange(10000))


def address(r):
    return "%d %s %s, %s %d" % (
        r.randrange(1, 999),
        r.choice(STREET),
        r.choice(KIND),
        r.choice(CITY),
        r.randrange(800, 8000),
    )


def date(r):
    return "%02d/%02d/%d" % (r.randrange(1, 29), r.randrange(1, 13), r.randrange(2019, 2027))


class Page:
    def __init__(self, r):
        self.r = r
        self.rows = [[" "] * COLS for _ in range(ROWS)]
        self.heavy = set()
        self.left, self.right = r.randrange(1, 3), COLS - r.randrange(1, 3)
        self.y = r.randrange(0, 2)

    def text(self, x, s, bold=False, align="l"):
        x = x - len(s) if align == "r" else x - len(s) // 2 if align == "c" else x
        assert 0 <= x and x + len(s) <= COLS and self.y < ROWS, (x, s, self.y)
        for i, ch in enumerate(s):
            self.rows[self.y][x + i] = ch
            if bold:
                self.heavy.add((self.y, x + i))

    def line(self, s, bold=False, align="l"):
        self.text({"l": self.left, "r": self.right, "c": COLS // 2}[align], s, bold, align)
        self.y += 1

    def rule(self, spare=8):
        k = self.r.random()
        if self.y + spare < ROWS and k < 0.6:
            if k < 0.4:
                self.text(self.left, "-" * (self.right - self.left))
            self.y += 1

    def pair(self, key, value, lx, rx, bold=False, align="r"):
        self.text(lx, key, bold)
        self.text(rx, value, bold, align)
        self.y += 1

    def image(self):
        r = self.r
        face = r.randrange(len(FACES))
        ink = np.zeros((SIZE + 8, SIZE + 8), np.float32)
        dx, dy = r.randrange(-2, 3), r.randrange(-2, 3)
        for y, row in enumerate(self.rows):
            for x, ch in enumerate(row):
                if ch != " ":
                    v, u = 4 + dy + y * 14 - 1, 4 + dx + x * 7 - 2
                    if u >= 0 and u + 11 <= SIZE + 8:
                        np.maximum(
                            ink[v : v + 16, u : u + 11],
                            glyph(face, (y, x) in self.heavy, ch),
                            out=ink[v : v + 16, u : u + 11],
                        )
        paper, dark = r.randrange(225, 256), r.randrange(0, 80)
        page = paper + (dark - paper) * ink[4:-4, 4:-4]
        if r.random() < 0.5:
            page = page + np.random.default_rng(r.randrange(1 << 30)).normal(
                0, r.uniform(1, 8), page.shape
            )
        return Image.fromarray(np.clip(np.rint(page), 0, 255).astype(np.uint8))


def party(r):
    first, last = r.choice(FIRST), r.choice(LAST)
    return {
        "PAYER_NAME": first + " " + last,
        "PAYER_ADDRESS": address(r),
        "PAYER_PHONE": phone(r),
        "PAYER_EMAIL": "%s.%s@%s" % (first.lower(), last.lower(), r.choice(MAIL)),
    }


def sale(r, kind):
    """A receipt or a tax invoice."""
    p = Page(r)
    t = dict.fromkeys(FIELDS, ABSENT)
    brand, trade = r.choice(BRAND), r.choice(TRADE)
    t["DOCUMENT_TYPE"], t["SUPPLIER"], t["ABN"] = (
        kind,
        brand + " " + trade + r.choice(SUFFIX),
        abn(r),
    )
    t["BUSINESS_ADDRESS"] = address(r)
    centre = r.random() < (0.6 if kind == "RECEIPT" else 0.2)
    al = "c" if centre else "l"
    title = kind if r.random() < 0.6 else kind.title()
    if r.random() < 0.3:
        p.line(title, True, al)
        p.line(t["SUPPLIER"], True, al)
    else:
        p.line(t["SUPPLIER"], True, al)
        p.line(title, True, al)
    p.line(t["BUSINESS_ADDRESS"], False, al)
    p.line(r.choice(("ABN: ", "ABN ", "A.B.N. ")) + t["ABN"], False, al)
    if r.random() < 0.7:
        t["BUSINESS_PHONE"] = phone(r)
        p.line(r.choice(("", "Ph: ", "Tel: ")) + t["BUSINESS_PHONE"], False, al)
    if r.random() < 0.5:
        t["SUPPLIER_WEBSITE"] = "%s%s.com.au" % (
            r.choice(("", "www.")),
            (brand + trade).lower().replace(" ", ""),
        )
        p.line(r.choice(("", "Web: ")) + t["SUPPLIER_WEBSITE"], False, al)
    p.rule(16)
    if kind == "TAX INVOICE" or r.random() < 0.4:
        who = party(r)
        p.line(r.choice(("Bill To", "Customer", "Billed to:")), True)
        t["PAYER_NAME"] = who["PAYER_NAME"]
        p.line(who["PAYER_NAME"])
        for key, label in (
            ("PAYER_ADDRESS", ""),
            ("PAYER_PHONE", r.choice(("", "Ph: "))),
            ("PAYER_EMAIL", r.choice(("", "Email: "))),
        ):
            if r.random() < 0.65:
                t[key] = who[key]
                p.line(label + who[key])
    t["INVOICE_DATE"] = date(r)
    p.line(r.choice(("Date: ", "Invoice Date: ", "Date ")) + t["INVOICE_DATE"])
    if kind == "TAX INVOICE" and r.random() < 0.7:
        t["DUE_DATE"] = date(r)
        p.line(r.choice(("Due Date: ", "Due: ", "Payment Due ")) + t["DUE_DATE"])
    p.rule(8)
    cols = (
        (p.left, p.left + 4, p.right - 11, p.right)
        if r.random() < 0.5
        else (p.right - 22, p.left, p.right - 10, p.right)
    )
    for x, s, al in zip(cols, ("Qty", "Item", "Price", "Amount"), "llrr"):
        p.text(x, s, True, al)
    p.y += 1
    qty, price, names, total = [], [], [], 0
    for i in range(r.randrange(1, 5)):
        if i and p.y > ROWS - 4:
            break
        n, c, name = r.randrange(1, 10), r.randrange(95, 9999), r.choice(ITEM)
        for x, s, al in zip(cols, (str(n), name, money(c), money(n * c)), "llrr"):
            p.text(x, s, False, al)
        p.y += 1
        qty.append(str(n)), price.append(money(c)), names.append(name)
        total += n * c
    t["QUANTITIES"], t["PRICES"], t["DESCRIPTIONS"] = (
        " | ".join(qty),
        " | ".join(price),
        " | ".join(names),
    )
    gst = round(total / 10)
    p.rule(5)
    lx = p.right - r.randrange(20, 32)
    t["SUBTOTAL"], t["GST"], t["TOTAL"] = money(total), money(gst), money(total + gst)
    p.pair(r.choice(("Subtotal", "Subtotal:", "Sub-total")), t["SUBTOTAL"], lx, p.right)
    p.pair(r.choice(("GST", "GST 10%", "GST (10%):")), t["GST"], lx, p.right)
    p.pair(r.choice(("TOTAL", "Total:", "TOTAL:")), t["TOTAL"], lx, p.right, True)
    if p.y < ROWS and r.random() < 0.5:
        p.line(
            r.choice(("Thank you for your business", "Paid by VISA", "All prices in AUD", "E&OE")),
            False,
            r.choice("lc"),
        )
    return p, t


def statement(r):
    p = Page(r)
    t = dict.fromkeys(FIELDS, ABSENT)
    t["DOCUMENT_TYPE"], t["BANK_NAME"], t["ACCOUNT_HOLDER"] = (
        "BANK STATEMENT",
        r.choice(BANK),
        r.choice(FIRST) + " " + r.choice(LAST),
    )
    t["BSB_NUMBER"] = "%03d%s%03d" % (r.randrange(1000), r.choice((" ", "-")), r.randrange(1000))
    t["BANK_ACCOUNT_NUMBER"] = "".join(str(r.randrange(10)) for _ in range(r.choice((6, 7, 8, 9))))
    t["STATEMENT_PERIOD"] = date(r) + " to " + date(r)
    p.line(t["BANK_NAME"], True, r.choice("lc"))
    p.line(r.choice(("ACCOUNT STATEMENT", "Bank Statement", "Statement of Account")), True)
    p.rule()
    rows = [
        (r.choice(("Account Name", "Account Holder", "Name")), "ACCOUNT_HOLDER"),
        ("BSB", "BSB_NUMBER"),
        (r.choice(("Account Number", "Account No", "Account")), "BANK_ACCOUNT_NUMBER"),
        (r.choice(("Statement Period", "Period")), "STATEMENT_PERIOD"),
    ]
    if r.random() < 0.5:
        r.shuffle(rows)
    inline, vx = r.random() < 0.5, p.left + r.randrange(17, 21)
    for label, key in rows:
        if inline:
            p.line(label + ": " + t[key])
        else:
            p.pair(label, t[key], p.left, vx, False, "l")
    balance = r.randrange(10000, 4000000)
    t["OPENING_BALANCE"] = money(balance)
    p.pair("Opening Balance", t["OPENING_BALANCE"], p.left, p.right, True)
    p.rule()
    names = []
    for x, s, al in (
        (p.left, "Date", "l"),
        (p.left + 6, "Description", "l"),
        (p.right - 11, "Amount", "r"),
        (p.right, "Balance", "r"),
    ):
        p.text(x, s, True, al)
    p.y += 1
    for _ in range(r.randrange(1, 7)):
        amount, name = r.randrange(500, 90000), r.choice(MOVE)
        if name not in ("SALARY CREDIT", "INTEREST PAYMENT", "REFUND", "CASH DEPOSIT"):
            amount = -amount
        if balance + amount < 0:
            amount = -amount
        balance += amount
        for x, s, al in (
            (p.left, date(r)[:5], "l"),
            (p.left + 6, name, "l"),
            (p.right - 11, ("-" if amount < 0 else "") + money(abs(amount)), "r"),
            (p.right, money(balance), "r"),
        ):
            p.text(x, s, False, al)
        p.y += 1
        names.append(name)
    p.rule()
    t["CLOSING_BALANCE"], t["DESCRIPTIONS"] = money(balance), " | ".join(names)
    p.pair("Closing Balance", t["CLOSING_BALANCE"], p.left, p.right, True)
    return p, t


def document(seed):
    """One page: (grey image, {field: value}, [row text])."""
    for n in range(100):
        r = random.Random(seed * 101 + n)
        k = r.random()
        try:
            p, t = (
                sale(r, "RECEIPT")
                if k < 0.4
                else sale(r, "TAX INVOICE") if k < 0.75 else statement(r)
            )
        except AssertionError:
            continue
        return p.image(), t, ["".join(row) for row in p.rows]
    raise AssertionError("no page fits")


if __name__ == "__main__":
    import sys, time

    missing = [f for face in FACES for f in face[:2] if not os.path.exists(os.path.join(FONTS, f))]
    if missing:
        raise SystemExit("docgen needs these fonts in %s: %s" % (FONTS, ", ".join(missing)))
    t0 = time.time()
    for s in range(300):
        document(s)
    print("%.1f pages/s" % (300 / (time.time() - t0)))
    sheet = Image.new("L", (SIZE * 3 + 8, SIZE * 2 + 4), 128)
    for i in range(6):
        im, t, rows = document(int(sys.argv[1]) + i if len(sys.argv) > 1 else i)
        sheet.paste(im, ((i % 3) * (SIZE + 4), (i // 3) * (SIZE + 4)))
        if i < 2:
            print("\n".join(rows)), print({k: v for k, v in t.items() if v != ABSENT})
    sheet.save(sys.argv[2] if len(sys.argv) > 2 else "sheet.png")
