import { describe, expect, it } from 'vitest';
import { corpusBleu, tokenise13a } from './bleu.ts';

/** Each with what sacrebleu 2.6 says: `corpus_bleu(hypotheses, list(zip_longest(*references))).score`. */
const CASES: readonly (readonly [name: string, score: number, segments: readonly (readonly [string, ...string[]])[]])[] = [
  [
    'rows of E2E with several references',
    45.87272246661559,
    [
      [
        'A Vaults is a Japanese style pub in the price range less than £ 20 with a low customer rating . It is located on the riverside near Raja Indian Cuisine .',
        "The Vaults pub is a cheap 1 star sushi restaurant . It 's located in city centre , east of Raja Indian Cuisine . Not family friendly . It offers deliveries , take - out and eat - in .",
        'The Vaults is a Japanese pub on the riverside . It is near Raja Indian Cuisine . It is not family - friendly . The customer rating is low and the price range is less than £ 20 .',
        'The Vaults is a pub in City centre , near Raja Indian Cuisine . It is inexpensive and lowly rated . It is not a good place to take children .',
      ],
      [
        "Are is a restaurant called The Cricketers providing Chinese food located in the city centre near All Bar One with 5 out of 5 customer rating and it 's price range is cheap , but it is not family friendly .",
        'restaurant The Cricketers in city centre near All Bar One provides low price Chinese food with customer rating 5 out of 5 . It is not family friendly .',
        'The Cricketers is a restaurant located in the city centre near All Bar One that provides Chinese food which has a 5 out of 5 customer rating and the price range is cheap . It is not family friendly .',
        'The Cricketers is a restaurant where you can eat Chinese food very cheaply . This family friendly , city centre , restaurant which is near All Bar One has a top quality customer rating .',
      ],
      [
        'A Phoenix is a French pub located near Crowne Plaza Hotel in riverside . At a customer rating of 5 out of 5 and its cheap this makes a great family friendly place .',
        'The Phoenix is a five - star restaurant and pub , located near Crowne Plaza Hotel .',
        'In the Riverside area , there is a family - friendly French pub called The Phoenix . It is located near Crowne Plaza Hotel and has a 5 out of 5 customer rating .',
        'The Phoenix is a inexpensive 5 star family restaurant located near Crowne Plaza Hotel .',
      ],
      [
        'A Cricketers is a Chinese food restaurant for adults and is not kid friendly . It got a 1 out of 5 stars rating for its moderately priced food . It is located in riverside near the All Bar One .',
        'At the riverside near All Bar One is a restaurant called The Cricketers . It serves moderate priced Chinese food and is customer rated 1 out of 5 . It is not kid friendly .',
        "The Cricketers is a restaurant which serves moderate priced Chinese food . It is located at the riverside near All Bar One but is customer rated 1 out of 5 and is n't kid friendly .",
        'The Cricketers is a restaurant that offers Chinese food with a moderate price range . It has a 1 out of 5 rating and is not kid friendly . It is located in riverside near the All Bar One .',
      ],
    ],
  ],
  [
    'one reference',
    34.20198747487132,
    [
      ['the cat sat on the mat .', 'the cat is on the mat .'],
      ['there is a dog here', 'a dog is here , there'],
    ],
  ],
  [
    'a short text without long matches',
    7.842859022700728,
    [
      ['the cat', 'a cat the end of it'],
      ['one two three four five', 'one x three y five'],
    ],
  ],
  ['no match at all', 0.0, [['a b c d e', 'v w x y z']]],
  ['less than four words', 0.0, [['a b c', 'a b c']]],
  [
    'punctuation, digits and entities',
    80.03203203845001,
    [['It costs £ 1,000.50, "really"-- 5-star &amp; ok.', 'It costs £ 1,000.50 , " really " - 5 - star & ok .']],
  ],
  [
    'references of different number and length',
    38.147933125928006,
    [
      ['it is near the river , and cheap .', 'it is cheap .', 'it is near the river and it is very cheap , too .'],
      ['a pub in the city centre', 'a pub in the centre of the city'],
    ],
  ],
  ['a candidate that is too short', 7.85112417385031, [['the pub is cheap', 'the pub called Blue Spice is cheap and near the river']]],
  [
    'empty candidate',
    44.932896411722176,
    [
      ['', 'a b c d'],
      ['a b c d e', 'a b c d e'],
    ],
  ],
];

describe('BLEU', () => {
  it.each(CASES)('is that of sacrebleu for %s', (_name, score, segments) => {
    const ours = corpusBleu(segments.map(([hypothesis, ...references]) => ({ hypothesis, references })));
    expect(ours).toBeCloseTo(score, 9);
  });

  it('has the tokens of mteval-v13a', () => {
    expect(tokenise13a('It costs £ 1,000.50, "really"-- 5-star & ok.')).toEqual([
      'It',
      'costs',
      '£',
      '1,000.50',
      ',',
      '"',
      'really',
      '"',
      '--',
      '5',
      '-',
      'star',
      '&',
      'ok',
      '.',
    ]);
  });
});
