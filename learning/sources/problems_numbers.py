"""Problems about numbers; see `learning.sources.problems`."""

from __future__ import annotations

from learning.sources.problem import Problem, problem

_NUMBER_LISTS = [([],), ([3],), ([1, 2, 3, 4],), ([5, -1, 5, 0, 2],), ([2, 2, 2],), ([9, 7, 4, 4, 1, 0],)]

NUMBERS: tuple[Problem, ...] = (
    problem(
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
    problem(
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
    problem(
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
    problem(
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
    problem(
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
    problem(
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
    problem(
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
    problem(
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
)
