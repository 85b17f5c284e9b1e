"""Problems about texts and sequences; see `learning.sources.problems`."""

from __future__ import annotations

from learning.sources.problem import Problem, problem

_NUMBER_LISTS = [([],), ([3],), ([1, 2, 3, 4],), ([5, -1, 5, 0, 2],), ([2, 2, 2],), ([9, 7, 4, 4, 1, 0],)]
_TEXTS = [("",), ("a",), ("abca",), ("never odd or even",), ("Hello, World",), ("aab bbc",)]

SEQUENCES: tuple[Problem, ...] = (
    problem(
        "reverse a text",
        _TEXTS,
        """
def solve(text):
    return text[::-1]
""",
        """
def solve(text):
    result = ""
    for letter in text:
        result = letter + result
    return result
""",
        """
def solve(text):
    letters = list(text)
    low = 0
    high = len(letters) - 1
    while low < high:
        letters[low], letters[high] = letters[high], letters[low]
        low += 1
        high -= 1
    return "".join(letters)
""",
        """
def solve(text):
    if len(text) < 2:
        return text
    return solve(text[1:]) + text[0]
""",
    ),
    problem(
        "position in a sorted list",
        [([1, 3, 5, 7], 5), ([1, 3, 5, 7], 4), ([], 1), ([2], 2), ([1, 2, 3, 4, 5, 6], 6), ([1, 2, 3, 4, 5, 6], 1)],
        """
def solve(values, wanted):
    for place, value in enumerate(values):
        if value == wanted:
            return place
    return -1
""",
        """
def solve(values, wanted):
    low = 0
    high = len(values) - 1
    while low <= high:
        middle = (low + high) // 2
        if values[middle] == wanted:
            return middle
        if values[middle] < wanted:
            low = middle + 1
        else:
            high = middle - 1
    return -1
""",
        """
def solve(values, wanted):
    if wanted in values:
        return values.index(wanted)
    return -1
""",
        """
def solve(values, wanted, start=0):
    if not values:
        return -1
    middle = len(values) // 2
    if values[middle] == wanted:
        return start + middle
    if values[middle] > wanted:
        return solve(values[:middle], wanted, start)
    return solve(values[middle + 1:], wanted, start + middle + 1)
""",
    ),
    problem(
        "count the words",
        [("",), ("one",), ("a b a",), ("x y x z y x",), ("the cat and the dog",)],
        """
def solve(text):
    counts = {}
    for word in text.split():
        counts[word] = counts.get(word, 0) + 1
    return counts
""",
        """
def solve(text):
    words = text.split()
    return {word: words.count(word) for word in words}
""",
        """
def solve(text):
    counts = {}
    for word in text.split():
        if word not in counts:
            counts[word] = 0
        counts[word] += 1
    return counts
""",
        """
def solve(text):
    remaining = sorted(text.split())
    counts = {}
    while remaining:
        first = remaining[0]
        rest = [word for word in remaining if word != first]
        counts[first] = len(remaining) - len(rest)
        remaining = rest
    return counts
""",
    ),
    problem(
        "is a palindrome",
        [("",), ("a",), ("ab",), ("abba",), ("abcba",), ("abca",), ("racecar",)],
        """
def solve(text):
    return text == text[::-1]
""",
        """
def solve(text):
    for place in range(len(text) // 2):
        if text[place] != text[len(text) - 1 - place]:
            return False
    return True
""",
        """
def solve(text):
    if len(text) < 2:
        return True
    if text[0] != text[-1]:
        return False
    return solve(text[1:-1])
""",
        """
def solve(text):
    letters = list(text)
    while len(letters) > 1:
        if letters.pop(0) != letters.pop():
            return False
    return True
""",
    ),
    problem(
        "without repetitions",
        _NUMBER_LISTS,
        """
def solve(numbers):
    seen = set()
    result = []
    for number in numbers:
        if number not in seen:
            seen.add(number)
            result.append(number)
    return result
""",
        """
def solve(numbers):
    return list(dict.fromkeys(numbers))
""",
        """
def solve(numbers):
    result = []
    for place in range(len(numbers)):
        if numbers[place] not in numbers[:place]:
            result.append(numbers[place])
    return result
""",
    ),
    problem(
        "merge sorted lists",
        [([], []), ([1], []), ([1, 3], [2, 4]), ([1, 1], [1]), ([5, 6], [1, 9, 10])],
        """
def solve(left, right):
    result = []
    i = j = 0
    while i < len(left) and j < len(right):
        if left[i] <= right[j]:
            result.append(left[i])
            i += 1
        else:
            result.append(right[j])
            j += 1
    return result + left[i:] + right[j:]
""",
        """
def solve(left, right):
    return sorted(left + right)
""",
        """
def solve(left, right):
    if not left:
        return list(right)
    if not right:
        return list(left)
    if left[0] <= right[0]:
        return [left[0]] + solve(left[1:], right)
    return [right[0]] + solve(left, right[1:])
""",
    ),
    problem(
        "flatten nested lists",
        [([],), ([1, 2],), ([1, [2, [3, []]], 4],), ([[[5]]],)],
        """
def solve(nested):
    result = []
    for item in nested:
        if isinstance(item, list):
            result.extend(solve(item))
        else:
            result.append(item)
    return result
""",
        """
def solve(nested):
    stack = list(reversed(nested))
    result = []
    while stack:
        item = stack.pop()
        if isinstance(item, list):
            stack.extend(reversed(item))
        else:
            result.append(item)
    return result
""",
        """
def solve(nested):
    items = list(nested)
    place = 0
    while place < len(items):
        if isinstance(items[place], list):
            items[place:place + 1] = items[place]
        else:
            place += 1
    return items
""",
    ),
    problem(
        "balanced brackets",
        [("",), ("()",), ("(()",), ("())(",), ("(a)(b)",), (")",), ("((x))",)],
        """
def solve(text):
    depth = 0
    for letter in text:
        if letter == "(":
            depth += 1
        elif letter == ")":
            depth -= 1
        if depth < 0:
            return False
    return depth == 0
""",
        """
def solve(text):
    stack = []
    for letter in text:
        if letter == "(":
            stack.append(letter)
        if letter == ")":
            if not stack:
                return False
            stack.pop()
    return not stack
""",
        """
def solve(text):
    brackets = "".join(letter for letter in text if letter in "()")
    while "()" in brackets:
        brackets = brackets.replace("()", "")
    return brackets == ""
""",
    ),
)
