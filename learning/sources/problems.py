"""Small problems with several independently written solutions each: programs that do the same by other means.

They stand in for the same-problem programs of contest corpora (Google Code Jam, POJ-104), on machines where there are none: far fewer,
shorter, and by one hand. All solutions of a problem agree on its sample inputs; a test runs them. Each problem counts as a repository of
its own, so no problem is in two splits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem: solutions (source of one function each) and argument lists on which they agree."""

    name: str
    solutions: tuple[str, ...]
    samples: tuple[tuple[Any, ...], ...]


def _problem(name: str, samples: list[tuple[Any, ...]], *solutions: str) -> Problem:
    return Problem(name, tuple(s.strip("\n") + "\n" for s in solutions), tuple(samples))


_NUMBER_LISTS = [([],), ([3],), ([1, 2, 3, 4],), ([5, -1, 5, 0, 2],), ([2, 2, 2],), ([9, 7, 4, 4, 1, 0],)]
_TEXTS = [("",), ("a",), ("abca",), ("never odd or even",), ("Hello, World",), ("aab bbc",)]

PROBLEMS: tuple[Problem, ...] = (
    _problem(
        "sum of squares",
        _NUMBER_LISTS,
        """
def solve(numbers):
    total = 0
    for number in numbers:
        total += number * number
    return total
""",
        """
def solve(numbers):
    return sum(number ** 2 for number in numbers)
""",
        """
def solve(numbers):
    if not numbers:
        return 0
    head = numbers[0]
    return head * head + solve(numbers[1:])
""",
        """
def solve(numbers):
    squares = [number * number for number in numbers]
    result = 0
    while squares:
        result = result + squares.pop()
    return result
""",
    ),
    _problem(
        "greatest common divisor",
        [(12, 18), (7, 3), (10, 10), (1, 99), (48, 36), (270, 192), (5, 0)],
        """
def solve(a, b):
    while b:
        a, b = b, a % b
    return a
""",
        """
def solve(a, b):
    if b == 0:
        return a
    return solve(b, a % b)
""",
        """
def solve(a, b):
    if a == 0 or b == 0:
        return a + b
    while a != b:
        if a > b:
            a -= b
        else:
            b -= a
    return a
""",
        """
def solve(a, b):
    best = max(a, b)
    for candidate in range(1, max(a, b) + 1):
        if a % candidate == 0 and b % candidate == 0:
            best = candidate
    return best
""",
    ),
    _problem(
        "is prime",
        [(n,) for n in (0, 1, 2, 3, 4, 9, 11, 15, 17, 25, 49, 97)],
        """
def solve(n):
    if n < 2:
        return False
    for divisor in range(2, n):
        if n % divisor == 0:
            return False
    return True
""",
        """
def solve(n):
    divisor = 2
    while divisor * divisor <= n:
        if n % divisor == 0:
            return False
        divisor += 1
    return n > 1
""",
        """
def solve(n):
    return n > 1 and all(n % divisor for divisor in range(2, int(n ** 0.5) + 1))
""",
        """
def solve(n):
    sieve = [True] * (n + 2)
    sieve[0] = sieve[1] = False
    for base in range(2, n + 1):
        if sieve[base]:
            for multiple in range(2 * base, n + 1, base):
                sieve[multiple] = False
    return sieve[n]
""",
    ),
    _problem(
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
    _problem(
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
    _problem(
        "fibonacci number",
        [(n,) for n in (0, 1, 2, 3, 7, 10, 15)],
        """
def solve(n):
    a, b = 0, 1
    for _ in range(n):
        a, b = b, a + b
    return a
""",
        """
def solve(n):
    if n < 2:
        return n
    return solve(n - 1) + solve(n - 2)
""",
        """
def solve(n):
    numbers = [0, 1]
    while len(numbers) <= n:
        numbers.append(numbers[-1] + numbers[-2])
    return numbers[n]
""",
        """
def solve(n):
    known = {0: 0, 1: 1}

    def fill(k):
        if k not in known:
            known[k] = fill(k - 1) + fill(k - 2)
        return known[k]
    return fill(n)
""",
    ),
    _problem(
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
    _problem(
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
    _problem(
        "sort a list",
        _NUMBER_LISTS,
        """
def solve(numbers):
    result = list(numbers)
    for last in range(len(result) - 1, 0, -1):
        for place in range(last):
            if result[place] > result[place + 1]:
                result[place], result[place + 1] = result[place + 1], result[place]
    return result
""",
        """
def solve(numbers):
    result = []
    for number in numbers:
        place = 0
        while place < len(result) and result[place] <= number:
            place += 1
        result.insert(place, number)
    return result
""",
        """
def solve(numbers):
    if len(numbers) < 2:
        return list(numbers)
    pivot = numbers[0]
    small = [n for n in numbers[1:] if n < pivot]
    large = [n for n in numbers[1:] if n >= pivot]
    return solve(small) + [pivot] + solve(large)
""",
        """
def solve(numbers):
    rest = list(numbers)
    result = []
    while rest:
        least = min(rest)
        rest.remove(least)
        result.append(least)
    return result
""",
    ),
    _problem(
        "largest sum of neighbours",
        [([1],), ([1, -2, 3],), ([-1, -5],), ([2, -1, 2, -4, 5],), ([3, -9, 4, 4],)],
        """
def solve(numbers):
    best = current = numbers[0]
    for number in numbers[1:]:
        current = max(number, current + number)
        best = max(best, current)
    return best
""",
        """
def solve(numbers):
    best = numbers[0]
    for start in range(len(numbers)):
        for end in range(start + 1, len(numbers) + 1):
            if sum(numbers[start:end]) > best:
                best = sum(numbers[start:end])
    return best
""",
        """
def solve(numbers):
    least = total = 0
    best = numbers[0]
    for number in numbers:
        total += number
        if total - least > best:
            best = total - least
        if total < least:
            least = total
    return best
""",
    ),
    _problem(
        "digits added",
        [(n,) for n in (0, 5, 10, 99, 12345, 70007)],
        """
def solve(n):
    total = 0
    while n:
        total += n % 10
        n //= 10
    return total
""",
        """
def solve(n):
    return sum(int(digit) for digit in str(n))
""",
        """
def solve(n):
    if n < 10:
        return n
    return n % 10 + solve(n // 10)
""",
    ),
    _problem(
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
    _problem(
        "power",
        [(2, 0), (2, 10), (3, 5), (5, 1), (0, 3), (-2, 3)],
        """
def solve(base, exponent):
    result = 1
    for _ in range(exponent):
        result *= base
    return result
""",
        """
def solve(base, exponent):
    if exponent == 0:
        return 1
    half = solve(base, exponent // 2)
    if exponent % 2:
        return half * half * base
    return half * half
""",
        """
def solve(base, exponent):
    result = 1
    while exponent > 0:
        if exponent & 1:
            result = result * base
        base = base * base
        exponent >>= 1
    return result
""",
    ),
    _problem(
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
    _problem(
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
    _problem(
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
