"""The texts that winnow and its peers are compared on: written for this project, by hand and by a seeded generator."""

from __future__ import annotations

import random

# Own sentences in many scripts; none is taken from anywhere.
SENTENCES = {
    "english": (
        "The ferry left late because the captain had to wait for the post.",
        "Nobody knew that the old mill would be open with free coffee and bread.",
        "We have counted the boats twice, and both times one of them was missing.",
        "It's a long way to the village, but the road is good.",
    ),
    "german": (
        "Der Bäcker öffnet um sechs, und dann riecht die ganze Straße nach Brot.",
        "Wir sahen „nichts“ als Nebel.",
    ),
    "french": (
        "L'été dernier, nous avons traversé la rivière à pied.",
        "« Venez », dit-elle, puis elle ferma la porte.",
    ),
    "polish": ("Wczoraj padał śnieg, więc zostaliśmy w domu i graliśmy w szachy.", "Źródło było zamarznięte."),
    "turkish": ("Balıkçı teknesi limana dönerken rüzgâr birden kesildi.", "İstasyonda kimse yoktu."),
    "vietnamese": ("Buổi sáng trời lạnh nên chúng tôi ở nhà đọc sách.", "Con đường này dài hơn tôi nghĩ."),
    "russian": ("Старый мост починили весной, и теперь по нему ездят велосипеды.", "Никто не знал, где ключ."),
    "greek": ("Το μικρό λιμάνι γεμίζει βάρκες κάθε βράδυ.", "Ποιος άφησε την πόρτα ανοιχτή;"),
    "arabic": ("وصل القطار متأخرا لأن الثلج غطى السكة.", "هل رأيت المفتاح؟ كان هنا أمس."),
    "hebrew": ("הסירה הקטנה חזרה לנמל לפני הסערה.", 'צה"ל וד"ר כהן נפגשו ליד הגשר.'),
    "hindi": ("नदी के किनारे एक पुराना पेड़ है।", "बच्चों ने मिलकर नाव बनाई और पानी में छोड़ दी।"),
    "bengali": ("নৌকাটি ভোরে ঘাটে ফিরে এল।", "আমরা দুবার গুনেছি।"),
    "tamil": ("மழை நின்ற பிறகு நாங்கள் வெளியே சென்றோம்.", "பாலம் மிகவும் பழையது."),
    "thai": ("เรือลำเล็กกลับเข้าท่าก่อนพายุมา", "ไม่มีใครรู้ว่ากุญแจอยู่ที่ไหน"),
    "khmer": ("ទូកតូចត្រឡប់មកកំពង់ផែវិញ។", "គ្មាននរណាដឹងទេ។"),
    "chinese": ("小船在暴风雨来临之前回到了港口。", "没有人知道钥匙在哪里，大家都在找。"),
    "japanese": ("小さな船は嵐の前に港へ戻った。", "カギがどこにあるか、だれも知らない。コーヒーを飲もう。"),
    "korean": ("작은 배는 폭풍이 오기 전에 항구로 돌아왔다.", "열쇠가 어디 있는지 아무도 몰랐다."),
    "amharic": ("ትንሿ ጀልባ ከማዕበሉ በፊት ተመለሰች።", "ቁልፉ የት እንዳለ ማንም አያውቅም።"),
    "georgian": ("პატარა ნავი ქარიშხლამდე დაბრუნდა ნავსადგურში.", "არავინ იცოდა."),
    "armenian": ("Փոքր նավակը վերադարձավ նավահանգիստ։", "Ոչ ոք չգիտեր։"),
}

BY_HAND = {
    "four words": "This is a test.",
    "one word": "Harbour",
    "two words": "Harbour light",
    "blank": " \n\t\n ",
    "a feed": "\n",
    "punctuation only": "... --- !!! ??? ***",
    "no feed at the end": "One line\nanother line\nand a third",
    "feeds around": "\n\nOne line\n\nOne line\n\n",
    "carriage returns": "One line\r\nOne line\r\n\r\nAnother line\r\n",
    "three feeds": "A first part.\n\n\nA second part.\n\n\n\nA first part.",
    "blank lines with blanks": "A first part.\n \nA second part.\n\t\nA first part.\n",
    "blanks at line ends": "same line \nsame line\n same line\nsame line ",
    "apples": "apple, pear. apple; pear! apple: pear? plum (apple) pear",
    "spaced apples": "apple      pear apple plum.... pear apple\n pear apple",
    "five grams": "pear apple pear\n apple pear. plum apple pear apple pear apple pear apple",
    "tied": "a b a b a b ab cd ab cd ab cd abc def abc def",
    "tied the other way": "x y x y x y abc def abc def xy zw xy zw xy zw",
    "joined words": "ab c a bc x y z ab c a bc x y z abc",
    "top across lines": "red boat\nred boat\nred boat\nblue boat",
    "top inside words": "he at he at cheat the at wheat he at",
    "ellipsis marks": "wait... no… yes . . . maybe (...) or […] or [...] then read more",
    "ellipsis lines": "I wonder...\nso do they…\nand you . . .\nyes.\nRead More\nread more..\nplain",
    "brackets": "a list [one] (two) {three} ⟨four⟩ and <five>",
    "hashes": "#one two ## three ### #a#b#c four # five",
    "bullets": "• one\n● two\n* three\n- four\n‣ five\n◦ six\n∙ seven\neight",
    "indented bullets": "  • one\n  - two\n\t* three\nfour",
    "bullets alone": "-\n•\n*\n●",
    "addresses": "see http://example.org/path?x=1 and https://a.b-c.de%20f now, http:// alone, xhttps://y",
    "address in address": "http://http://a.b https:https://c httphttp://d",
    "policy": "Terms of Use apply.\n\nOur Privacy Policy is new.\n\nThis text is about boats.\n\nWe use cookies.",
    "policy with and": "The privacy & cookies policy\n\nthe Privacy and Cookies Policy\n\na Privacy Overview\n\nboats",
    "lorem": "Boats and more boats.\n\nLorem ipsum dolor.\n\nEven more boats.",
    "braces": "function f(x) { return x; }\nand more { text }",
    "javascript": "Please enable JavaScript to see the boats.\nThe boats are here to be seen, and that is all.",
    "numbers": "12 345 6,789 1.5 3.14.15 1,000,000 2024-05-06 10:30 ½ ²",
    "apostrophes": "don't can't rock 'n' roll 'quoted' o'clock l'eau ‘single’ it’s",
    "underscores": "snake_case _x_ __init__ a_1 1_a _ __",
    "mixed scripts": "boat лодка boat 船 boat лодка 船船 boat",
    "soft hyphen": "hy\u00adphen hy\u00adphen zero\u200dwidth joiner\u200d alone",
    "no-break blanks": "10\u00a0000 boats\u00a0! 10\u202f000 boats\u202f!",
    "ideographic blanks": "小船　港口　小船　港口",
    "line separators": "one\u2028two\u2029three\u0085four\x0bfive\x0csix",
    "combining": "e\u0301te\u0301 e\u0301te\u0301 a \u0301 b",
    "emoji": "👩\u200d🚀 👩\u200d🚀 🇩🇪🇫🇷 👍🏽 ok 👍🏽",
    "capitals": "THE BOATS HAVE BEEN SEEN WITH THAT AND OF TO BE",
    "stop words": "The the THE be to of and that have with",
    "long word": "x" * 1200 + " and a boat.",
    "minified": "var a=1;var b=2;" * 40,
    "list of dates": "\n".join(f"{day} May 2024" for day in range(1, 25)),
    "table": "\n".join("| a | b | 3 |" for _ in range(6)),
    "poem": "Row, row,\nrow your boat,\nrow, row,\nrow your boat,\nrow it home.",
    "one line twice": "The same line stands here twice.\nThe same line stands here twice.",
    "double quotes": 'She said "no"\nand he said "yes"\nand then nothing',
    "kelvin and long s": "\u212a \u017f use\u017f of cookies",
}  # fmt: skip


def generated() -> dict[str, str]:
    """Texts of some length, in every script, with planted repetition, symbols, bullets and short lines."""
    pick = random.Random(20240506)
    found = {}
    for script, sentences in SENTENCES.items():
        found[f"{script} prose"] = " ".join(sentences)
        found[f"{script} lines"] = "\n".join(pick.choice(sentences) for _ in range(6))
        found[f"{script} paragraphs"] = "\n\n".join(pick.choice(sentences) for _ in range(4))
    for seed in range(40):
        found[f"mixture {seed:02}"] = mixture(random.Random(seed))
    return found


def mixture(pick: random.Random) -> str:
    """One document: English sentences, some of them again, with what filters look for strewn in."""
    extras = (
        "# heading",
        "read more...",
        "• item",
        "* item",
        "- item",
        "http://example.org/a",
        "{ brace }",
        "12 34 56",
        "…",
    )
    lines = []
    some = [own_sentence(pick) for _ in range(pick.randrange(2, 12))]
    for _ in range(pick.randrange(3, 22)):
        kind = pick.random()
        line = pick.choice(some) if kind < 0.55 else own_sentence(pick) if kind < 0.85 else pick.choice(extras)
        lines.append(line if pick.random() < 0.7 else line + " " + pick.choice(some))
    return "".join(line + pick.choice(("\n", "\n", "\n\n", " ")) for line in lines)


def own_sentence(pick: random.Random) -> str:
    """A sentence of four parts, so that n-grams return with other neighbours."""
    who = ("The captain", "An old man", "Nobody", "Our neighbour", "The crew of the ferry")
    does = ("counted", "had to paint", "sold", "looked at", "would like to have")
    what = ("the boats", "a red boat", "two of the bridges", "that harbour", "bread and coffee")
    when = ("before the storm", "with great care", "again and again", "last summer", "in the rain")
    return " ".join(map(pick.choice, (who, does, what, when))) + pick.choice((".", ".", ".", "!", "", "..."))


def texts() -> dict[str, str]:
    """Name -> text; 156 of them."""
    return BY_HAND | generated()
